#pragma once

#include <breakwater/detail/one_line.hpp>
#include <breakwater/detail/search.hpp>
#include <breakwater/http/detail/characters.hpp>
#include <breakwater/http/percent_encoding.hpp>
#include <breakwater/http/request.hpp>

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace breakwater {

/// What is secret beside what always is. Names are compared without case, "-" is as good as "_".
struct RedactionOptions {
    std::vector<std::string> query{};    ///< Names of query parameters (and of members of JSON).
    std::vector<std::string> headers{};  ///< Names of headers.
    std::vector<std::string> values{};   ///< Texts wherever they stand, such as a token in the path of `base_url`.

    friend bool operator==(const RedactionOptions&, const RedactionOptions&) = default;
};

/// Takes secrets out of words that are to be read by people: "***" stands for them.
///
/// Secret are: what a URL holds before its "@"; the values of headers and parameters with a telling name
/// (Authorization, Cookie, X-Api-Key, token, key, signature, password … and any that end in _token, _secret, _password,
/// _signature or _api_key); what follows "Bearer" and "Basic"; known values of at least four characters, also
/// percent-encoded. Immutable, so thread-safe. What looks like no secret and is not known as one cannot be recognised.
class Redaction {
public:
    static constexpr std::string_view mask = "***";
    /// How much of a body an excerpt shows, in characters.
    static constexpr std::size_t excerpt_characters = 200;

    explicit Redaction(const RedactionOptions& options = {}) {
        for (const std::string& name : options.query) names_.push_back(folded(name));
        for (const std::string& name : options.headers) names_.push_back(folded(name));
        for (const std::string& value : options.values) add(values_, value);
    }

    /// Makes the values of headers with a telling name known.
    void learn(const Headers& headers) {
        for (const Header& header : headers) learn_from(values_, header.name, header.value);
    }
    void learn(std::string_view value) { add(values_, value); }

    bool is_secret(std::string_view name) const {
        const std::string own = folded(name);
        constexpr std::string_view telling[] = {"authorization", "proxy_authorization",
                                                "cookie",        "set_cookie",
                                                "x_api_key",     "key",
                                                "apikey",        "api_key",
                                                "token",         "auth",
                                                "sig",           "signature",
                                                "secret",        "password",
                                                "passwd",        "pwd",
                                                "passphrase",    "jwt",
                                                "session",       "sessionid",
                                                "sid",           "credential",
                                                "credentials",   "private_key",
                                                "access_key",    "subscription_key"};
        constexpr std::string_view endings[] = {"_token",  "_secret",  "_password",   "_signature",
                                                "_apikey", "_api_key", "_credential", "_access_key"};
        return detail::contains(telling, own) || detail::contains(names_, own) ||
               detail::any_of(endings, [&](std::string_view ending) { return own.ends_with(ending); });
    }

    /// Whether a name or path would change: nearly never, and told without allocating.
    bool is_telling(std::string_view text) const noexcept {
        return text.find('=') != text.npos ||
               detail::any_of(values_, [&](const std::string& value) { return text.find(value) != text.npos; });
    }

    /// The text without its secrets. `request` is what it is about, if anything: its secrets are known, too.
    std::string text(std::string_view text, const Request* request = nullptr) const {
        std::string out{text};
        std::vector<std::string> values = values_;
        if (request != nullptr) {
            for (const Header& header : request->headers) learn_from(values, header.name, header.value);
            learn_from_query(values, request->url);
        }
        std::sort(values.begin(), values.end(), [](const auto& a, const auto& b) { return a.size() > b.size(); });
        for (const std::string& value : values)
            for (auto at = out.find(value); at != out.npos; at = out.find(value, at + mask.size()))
                out.replace(at, value.size(), mask);
        mask_user_info(out);
        mask_named(out);
        mask_schemes(out);
        return out;
    }

    /// The start of a body, redacted and on one line.
    std::string excerpt(std::string_view body, const Request* request = nullptr) const {
        constexpr std::size_t most = std::size_t{4} << 10;
        std::string own = text(body.substr(0, most), request);
        // A secret that is cut in two is not recognised: its part is at the end.
        if (body.size() > most) own.resize(own.size() - std::min(own.size(), most / 4));
        return detail::one_line(own, excerpt_characters);
    }

private:
    static std::string folded(std::string_view name) {
        std::string own{name};
        for (char& c : own) c = c == '-' ? '_' : detail::to_lower(c);
        return own;
    }

    static void add(std::vector<std::string>& values, std::string_view value) {
        if (value.size() < 4 || detail::contains(values, value)) return;
        values.emplace_back(value);
        if (std::string encoded = percent_encode(value); encoded != value) values.push_back(std::move(encoded));
    }

    void learn_from(std::vector<std::string>& values, std::string_view name, std::string_view value) const {
        if (!is_secret(name)) return;
        add(values, value);
        if (const auto blank = value.find(' '); blank != value.npos) add(values, value.substr(blank + 1));
    }

    void learn_from_query(std::vector<std::string>& values, std::string_view url) const {
        const auto mark = url.find('?');
        std::string_view query = mark == url.npos ? std::string_view{} : url.substr(mark + 1);
        while (!query.empty()) {
            const std::string_view pair = query.substr(0, query.find('&'));
            query.remove_prefix(std::min(pair.size() + 1, query.size()));
            const auto equals = pair.find('=');
            if (equals == pair.npos || !is_secret(pair.substr(0, equals))) continue;
            const std::string_view value = pair.substr(equals + 1);
            if (value.size() >= 4) values.emplace_back(value);
            std::string plain;
            for (std::size_t i = 0; i < value.size(); ++i) {
                const bool coded = detail::is_percent_encoded(value, i);
                plain += coded
                             ? static_cast<char>(detail::hex_value(value[i + 1]) * 16 + detail::hex_value(value[i + 2]))
                             : value[i];
                i += coded ? 2 : 0;
            }
            add(values, plain);
        }
    }

    static void mask_user_info(std::string& text) {
        for (auto at = text.find("//"); at != text.npos; at = text.find("//", at + 2)) {
            const auto end = std::min(text.find_first_of("/?# \t\r\n\"'<>", at + 2), text.size());
            const auto host = text.substr(at + 2, end - at - 2).rfind('@');
            if (host != text.npos) text.replace(at + 2, host, mask);
        }
    }

    /// `name=value`, `name: value`, `"name": "value"`, also escaped inside a JSON string.
    void mask_named(std::string& text) const {
        constexpr std::string_view around = "\"'\\ \t";
        for (auto at = text.find_first_of("=:"); at != text.npos; at = text.find_first_of("=:", at + 1)) {
            std::size_t end = at;
            while (end > 0 && around.find(text[end - 1]) != around.npos) --end;
            std::size_t begin = end;
            while (begin > 0 && (detail::is_alpha(text[begin - 1]) || detail::is_digit(text[begin - 1]) ||
                                 text[begin - 1] == '_' || text[begin - 1] == '-')) {
                --begin;
            }
            const bool in_path = begin > 0 && text[begin - 1] == '/' && text[at] == ':';
            if (begin == end || in_path || !is_secret(std::string_view{text}.substr(begin, end - begin))) continue;
            std::size_t from = at + 1;
            char quote = 0;
            for (; from < text.size() && around.find(text[from]) != around.npos; ++from)
                if (text[from] == '"' || text[from] == '\'') quote = text[from];
            const bool is_nested = from >= 2 && text[from - 2] == '\\';  // the quote itself is escaped
            std::size_t to = from;
            if (quote != 0) {
                for (; to < text.size() && text[to] != quote; ++to)
                    if (text[to] == '\\' && to + 1 < text.size() && !is_nested) ++to;
            } else if (from < text.size() && text[from] != '{' && text[from] != '[') {
                const bool is_query = text[at] == '=';
                to = std::min(text.find_first_of(is_query ? "&# \t\r\n\"'<>,;)" : "\r\n\"'<>,;}", from), text.size());
            }
            while (to > from && text[to - 1] == '\\') --to;
            text.replace(from, to - from, to > from ? mask : std::string_view{});
            at = from;
            if (at >= text.size()) return;
        }
    }

    static void mask_schemes(std::string& text) {
        for (const std::string_view scheme : {"bearer ", "basic "}) {
            for (std::size_t at = 0; at + scheme.size() < text.size(); ++at) {
                if (!detail::equals_ignoring_case(std::string_view{text}.substr(at, scheme.size()), scheme)) continue;
                const std::size_t from = at + scheme.size();
                const auto to = std::min(text.find_first_of(" \t\r\n\"'<>,;)}\\", from), text.size());
                const std::string_view token = std::string_view{text}.substr(from, to - from);
                const bool is_word = detail::all_of(token, [](char c) { return c >= 'a' && c <= 'z'; });
                if (token.size() >= 8 && !is_word) text.replace(from, token.size(), mask);
            }
        }
    }

    std::vector<std::string> names_;
    std::vector<std::string> values_;
};

}  // namespace breakwater
