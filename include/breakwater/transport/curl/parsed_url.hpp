#pragma once

#include <breakwater/http/detail/characters.hpp>
#include <breakwater/result.hpp>

#include <curl/curl.h>

#include <memory>
#include <new>
#include <string>
#include <utility>

namespace breakwater::curl {

/// A URL parsed for libcurl, once: given as text, it would be parsed in every exchange, which takes a fifth of
/// libcurl's CPU time. It never changes, and libcurl copies it.
class ParsedUrl {
public:
    /// `Errc::invalid_request` if libcurl does not take it. `text` is a URL that `validate` has accepted.
    static Result<ParsedUrl> parse(const std::string& text) {
        std::unique_ptr<CURLU, Free> parsed{curl_url()};
        if (!parsed) throw std::bad_alloc{};
        // As is: what is asked for is what was checked.
        const CURLUcode code =
            curl_url_set(parsed.get(), CURLUPART_URL, text.c_str(), CURLU_PATH_AS_IS | CURLU_DISALLOW_USER);
        if (code == CURLUE_OUT_OF_MEMORY) throw std::bad_alloc{};
        if (code != CURLUE_OK) return fail(Errc::invalid_request, std::string{"url: "} + curl_url_strerror(code));
        return ParsedUrl{text, std::move(parsed)};
    }

    const std::string& text() const noexcept { return text_; }
    bool uses_tls() const noexcept { return detail::to_lower(text_[4]) == 's'; }  // "https"
    CURLU* get() const noexcept { return parsed_.get(); }

private:
    struct Free {
        void operator()(CURLU* url) const noexcept { curl_url_cleanup(url); }
    };

    ParsedUrl(std::string text, std::unique_ptr<CURLU, Free> parsed)
        : text_{std::move(text)}, parsed_{std::move(parsed)} {}

    std::string text_;
    std::unique_ptr<CURLU, Free> parsed_;
};

}  // namespace breakwater::curl
