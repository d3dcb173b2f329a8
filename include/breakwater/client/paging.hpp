#pragma once

#include <breakwater/client/request_options.hpp>
#include <breakwater/detail/search.hpp>
#include <breakwater/http/link.hpp>
#include <breakwater/http/redirect.hpp>
#include <breakwater/http/reference.hpp>
#include <breakwater/http/response.hpp>
#include <breakwater/http/url.hpp>
#include <breakwater/result.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <unordered_set>
#include <utility>
#include <variant>

namespace breakwater {

/// The next page is where the `Link` header says (RFC 8288), on the client's own origin or, with
/// `PageOptions::cross_origin`, on any; the last page has no such link.
struct LinkPages {
    std::string rel = "next";
};

/// A page names the next one by a cursor in its JSON body; the last page's is missing, null, false or empty.
struct CursorPages {
    std::string at = "/next_cursor";   ///< JSON pointer (RFC 6901) to the cursor: a string or an integer.
    std::string parameter = "cursor";  ///< The query parameter that takes it.
};

/// Pages have numbers. The last one is told by `total_pages`, or else by its list (`PageOptions::items`): it is empty
/// or shorter than one before.
struct NumberedPages {
    std::int64_t first = 1;
    std::string parameter = "page";
    std::optional<std::int64_t> size{};  ///< Asked for by `size_parameter`, if given.
    std::string size_parameter = "per_page";
    std::string total_pages{};  ///< JSON pointer to the number of pages; empty (the default): not told.
};

struct PageOptions {
    std::variant<LinkPages, CursorPages, NumberedPages> by{};
    std::string items{};             ///< JSON pointer to a page's list. Default "": the body is the list.
    RequestOptions request{};        ///< Goes with the request of each page: the deadline is a page's.
    std::string from{};              ///< Where to begin: a `position()` of before. Default: the first page.
    std::size_t max_pages = 10'000;  ///< If more follow, that is an error and the end. 1 or more.
    /// Follows links to other origins, too, though never to http from a client's https. From the first such page on,
    /// requests carry no credential, no body and no headers but Accept and User-Agent, neither the client's nor those
    /// of `request`.
    bool cross_origin = false;
};

namespace detail {

/// Works out which request comes next. `Position` texts are URLs, cursors or page numbers.
template <class Json = nlohmann::json>
class Paging {
public:
    Paging(const std::string& base_url, std::string target, PageOptions options)
        : first_{std::move(target)},
          home_{base_url.empty() ? origin_of(first_) : base_url},
          options_{std::move(options)},
          position_{options_.from} {
        if (const auto* numbered = std::get_if<NumberedPages>(&options_.by)) number_ = numbered->first;
    }

    /// "" is the first page; nullopt: there are no more.
    const std::optional<std::string>& position() const noexcept { return position_; }

    /// Prepares the request of the page at `position()`.
    Result<void> aim() {
        if (pages_ == options_.max_pages) {
            return fail(Errc::too_large, "more than " + std::to_string(options_.max_pages) + " pages (max_pages)");
        }
        target_ = first_;
        request_ = options_.request;
        if (const auto* numbered = std::get_if<NumberedPages>(&options_.by)) return aim_at_number(*numbered);
        if (position_->empty()) return {};
        if (const auto* cursor = std::get_if<CursorPages>(&options_.by)) {
            set_parameter(cursor->parameter, *position_);
            return {};
        }
        target_ = *position_;
        request_.query = {};
        request_.path = {};
        if (auto ok = check_origin(target_); !ok) return ok;
        is_away_ = is_away_ || !is_home(target_);
        if (is_away_) become_anonymous();
        return {};
    }
    const std::string& target() const noexcept { return target_; }
    const RequestOptions& request() const noexcept { return request_; }

    /// Goes on behind this page. The error is about the next one: the page itself is good.
    Result<void> pass(const Response& page) {
        ++pages_;
        Result<std::optional<std::string>> next =
            std::visit([&](const auto& by) { return this->after(by, page); }, options_.by);
        if (!next) return fail(std::move(next.error().set_response(std::make_shared<const Response>(page))));
        visited_.insert(*position_);
        if (std::holds_alternative<LinkPages>(options_.by)) visited_.insert(page.url);
        if (*next && !visited_.insert(**next).second) {
            return fail(Errc::protocol_error, "the next page is one that has been before");
        }
        position_ = *std::move(next);
        return {};
    }

    /// A page's list.
    Result<Json*> list_of(const Response& page) const {
        auto found = find(page, options_.items);
        if (!found) return found;
        if (*found == nullptr) return wrong(options_.items, "expected array, but it is missing");
        if (!(*found)->is_array()) {
            return wrong(options_.items, std::string{"expected array, got "} + (*found)->type_name());
        }
        return *found;
    }

private:
    /// "https://api.test" of a target that is an absolute URL.
    static std::string origin_of(const std::string& target) {
        const auto authority = target.find("://");
        return authority == target.npos ? std::string{} : target.substr(0, target.find_first_of("/?", authority + 3));
    }

    static std::unexpected<Error> wrong(std::string_view at, const std::string& what) {
        return fail(Errc::decode_failed, std::string{at.empty() ? "the document" : at} + ": " + what);
    }

    /// Null if there is nothing at this place.
    static Result<Json*> find(const Response& page, const std::string& at) {
        auto document = page.document.parse<Json>(page.body);
        if (!document) return document;
        try {
            const typename Json::json_pointer pointer{at};
            return (*document)->contains(pointer) ? &(*document)->at(pointer) : nullptr;
        } catch (const typename Json::exception&) {
            return fail(Errc::invalid_request, "pages: \"" + at + "\" is no JSON pointer");
        }
    }

    void set_parameter(const std::string& name, const std::string& value) {
        Query query;
        for (const Parameter& parameter : request_.query)
            if (parameter.name != name) query.add(parameter.name, parameter.value);
        query.add(name, value);
        request_.query = std::move(query);
    }

    Result<void> aim_at_number(const NumberedPages& by) {
        const std::string& text = *position_;
        const char* end = text.data() + text.size();
        if (!text.empty()) {
            const auto [read, error] = std::from_chars(text.data(), end, number_);
            if (error != std::errc{} || read != end) return fail(Errc::invalid_request, "pages: from: no page number");
        }
        set_parameter(by.parameter, std::to_string(number_));
        if (by.size) set_parameter(by.size_parameter, std::to_string(*by.size));
        return {};
    }

    bool is_home(const std::string& target) const {
        const auto to = Url::parse(target);
        const auto home = Url::parse(home_);
        return to && home && home->same_origin(*to);
    }

    void become_anonymous() {
        request_.anonymous = true;
        request_.headers = impersonal(request_.headers);
        request_.json = Json::value_t::discarded;
        request_.form = {};
        request_.multipart = {};
        request_.body.reset();
        request_.idempotency_key = {};
    }

    Result<void> check_origin(const std::string& target) const {
        const auto to = Url::parse(target);
        if (!to) return fail(Errc::redirect_refused, "the next page: " + std::string{to.error().detail()});
        if (is_home(target)) return {};
        const auto home = Url::parse(home_);
        if (options_.cross_origin && home && home->is_secure() && !to->is_secure())
            return fail(Errc::redirect_refused, "the next page is on http, not https");
        if (options_.cross_origin) return {};
        return fail(Errc::redirect_refused, "the next page is on another origin, " + to->origin());
    }

    Result<std::optional<std::string>> after(const LinkPages& by, const Response& page) const {
        const auto link = find_link(page.headers, by.rel);
        if (!link) return std::nullopt;
        if (detail::any_of(*link, [](char c) { return is_control(c) || c == '\\'; }))
            return fail(Errc::redirect_refused, "the next page: a control character or a backslash");
        std::string next = resolve_reference(page.url, mend_location(*link));
        if (auto ok = check_origin(next); !ok) return fail(std::move(ok.error()));
        return next;
    }

    Result<std::optional<std::string>> after(const CursorPages& by, const Response& page) const {
        const auto found = find(page, by.at);
        if (!found) return fail(found.error());
        const Json* cursor = *found;
        if (cursor == nullptr || cursor->is_null() || *cursor == false || *cursor == "") return std::nullopt;
        if (cursor->is_string()) return cursor->template get<std::string>();
        if (cursor->is_number_integer()) return cursor->dump();
        return wrong(by.at, std::string{"expected a cursor, got "} + cursor->type_name());
    }

    Result<std::optional<std::string>> after(const NumberedPages& by, const Response& page) {
        bool is_last = false;
        if (!by.total_pages.empty()) {
            const auto found = find(page, by.total_pages);
            if (!found) return fail(found.error());
            if (*found == nullptr || !(*found)->is_number_integer()) {
                return wrong(by.total_pages, "expected the number of pages");
            }
            is_last = number_ - by.first + 1 >= (*found)->template get<std::int64_t>();
        } else {
            const auto list = list_of(page);
            if (!list) return fail(list.error());
            is_last = (*list)->empty() || (*list)->size() < longest_;
            longest_ = std::max(longest_, (*list)->size());
        }
        if (is_last) return std::nullopt;
        if (page.body == body_before_) {  // it does not heed the number
            return fail(Errc::protocol_error, "page " + std::to_string(number_) + " is the same as the one before");
        }
        body_before_ = page.body;
        return std::to_string(++number_);
    }

    std::string first_;
    std::string home_;
    PageOptions options_;
    std::optional<std::string> position_;
    std::string target_;
    RequestOptions request_;
    bool is_away_ = false;  // a link has led to another origin
    std::size_t pages_ = 0;
    std::unordered_set<std::string> visited_;
    std::int64_t number_ = 1;
    std::size_t longest_ = 0;
    std::string body_before_;
};

}  // namespace detail

}  // namespace breakwater
