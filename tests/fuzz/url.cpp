// URLs: what is parsed prints as itself; a target never leaves its base's origin and path; a redirect leaves the origin
// only if it may.
#include "input.hpp"

#include <breakwater/http/redirect.hpp>
#include <breakwater/http/target.hpp>
#include <breakwater/http/url.hpp>

#include <cstdint>
#include <string>
#include <string_view>

namespace bw = breakwater;

namespace {

/// The bytes that "%XX" stand for.
std::string decoded(std::string_view text) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '%' && i + 2 < text.size()) {
            out += static_cast<char>(std::stoi(std::string{text.substr(i + 1, 2)}, nullptr, 16));
            i += 2;
        } else {
            out += text[i];
        }
    }
    return out;
}

bool has_dot_segment(const std::string& path) {
    for (std::size_t from = 0; from != std::string::npos;) {
        const std::size_t end = path.find_first_of("/\\", from);
        std::string segment = path.substr(from, end == path.npos ? end : end - from);
        segment = segment.substr(0, segment.find(';'));
        if (segment == "." || segment == "..") return true;
        from = end == path.npos ? end : end + 1;
    }
    return false;
}

void check_printed(std::string_view url) {
    for (const char c : url) fuzz::require(c > ' ' && c < '\x7f' && c != '\\' && c != '"', "a URL is printable ASCII");
    fuzz::require(url.find('#') == url.npos && url.substr(0, url.find('/', 8)).find('@') == url.npos,
                  "it has no fragment, user name or password");
}

void parse(std::string_view text) {
    const auto url = bw::Url::parse(text);
    if (!url) {
        fuzz::require(url.error().code() == bw::Errc::invalid_request && url.error().detail().starts_with("url: "),
                      "a mistake is named");
        return;
    }
    const std::string printed = url->to_string();
    check_printed(printed);
    const auto again = bw::Url::parse(printed);
    fuzz::require(again && again->to_string() == printed && again->same_origin(*url) && again->path() == url->path() &&
                      again->query() == url->query(),
                  "what is printed reads back as itself");
    fuzz::require((again->origin() == url->origin()) && url->port() > 0, "the origin is the same");
    fuzz::require(printed.starts_with(url->root()) && url->path().starts_with('/'), "it begins with its root");
}

void join(const bw::Url& base, std::string_view target, std::string_view parameter) {
    const auto joined = bw::join_target(base, target, bw::Query{{"q", parameter}}, {{"p", parameter}});
    const auto plain = bw::join_target(base, target);
    for (const auto* result : {&joined, &plain}) {
        if (!*result) continue;
        check_printed(**result);
        const auto url = bw::Url::parse(**result);
        fuzz::require(url && url->same_origin(base), "a target stays in the origin of its base");
        fuzz::require(url->to_string() == **result, "what is joined is what is parsed");
        fuzz::require(!has_dot_segment(decoded(url->path())), "it has no dot segments, not even encoded ones");
        std::string prefix = base.path();
        if (prefix.ends_with('/')) prefix.pop_back();
        if (target.starts_with('/'))
            fuzz::require(url->path().starts_with(prefix + '/'), "a path is appended to the path of the base");
    }
    if (joined) fuzz::require(joined->find("q=" + bw::percent_encode(parameter)) != joined->npos, "the query is there");
}

void redirect(const bw::Url& from, std::string_view location) {
    const bw::Request request{.url = from.to_string(), .headers = {{"Authorization", "Bearer t"}, {"Accept", "*/*"}}};
    const bw::Response answer{.status = 302, .headers = {{"Location", location}}};
    for (const bool cross_origin : {false, true}) {
        const auto next = bw::next_hop(request, answer, {.cross_origin = cross_origin});
        if (!next || !*next) continue;
        check_printed((*next)->url);
        const auto url = bw::Url::parse((*next)->url);
        fuzz::require(url.has_value(), "a redirect leads to a URL");
        fuzz::require(!from.is_secure() || url->is_secure(), "it never leads from https to http");
        fuzz::require(url->same_origin(from) || cross_origin, "it leaves the origin only if it may");
        fuzz::require(url->same_origin(from) == (*next)->headers.contains("Authorization"), "a secret stays at home");
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::Input input{data, size};
    const std::string_view first = input.take_line(), second = input.take_line(), third = input.rest();
    parse(first);
    parse(second);
    const auto base = bw::Url::parse(first);
    const bw::Url fallback = *bw::Url::parse("https://api.example.com/v1");
    join(base && !base->query() ? *base : fallback, second, third);
    redirect(base ? *base : fallback, second);
    return 0;
}
