#pragma once

#include <breakwater/http/headers.hpp>
#include <breakwater/result.hpp>
#include <breakwater/transport/curl/header_list.hpp>
#include <breakwater/transport/curl/parsed_url.hpp>

#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace breakwater::curl {

/// What libcurl was told last through any handle of an engine: thousands of exchanges that are alike share it. Not
/// thread-safe.
class LastTold {
public:
    /// `user_agent` is kept by reference.
    explicit LastTold(const std::optional<std::string>& user_agent) noexcept : user_agent_{user_agent} {}

    Result<std::shared_ptr<const ParsedUrl>> url(const std::string& text) {
        if (url_ && url_->text() == text) return url_;
        auto parsed = ParsedUrl::parse(text);
        if (!parsed) return fail(std::move(parsed.error()));
        return url_ = std::make_shared<const ParsedUrl>(*std::move(parsed));
    }
    std::shared_ptr<const HeaderList> headers(const Headers& headers, HeaderList::Body body) {
        if (!headers_ || !headers_->is_of(headers, body))
            headers_ = std::make_shared<const HeaderList>(headers, body, user_agent_);
        return headers_;
    }

private:
    const std::optional<std::string>& user_agent_;
    std::shared_ptr<const ParsedUrl> url_;
    std::shared_ptr<const HeaderList> headers_;
};

}  // namespace breakwater::curl
