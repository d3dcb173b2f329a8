#pragma once

#include <breakwater/http/detail/characters.hpp>
#include <breakwater/http/headers.hpp>
#include <breakwater/transport/curl/global.hpp>

#include <curl/curl.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <string_view>

namespace breakwater::curl {

/// A request's headers as libcurl wants them. It never changes, and libcurl only reads it.
class HeaderList {
public:
    enum class Body : std::uint8_t { none, follows };

    HeaderList(const Headers& headers, Body body, const std::optional<std::string>& user_agent)
        : headers_{headers}, body_{body} {
        for (const auto& [name, value] : headers) {
            const std::string_view content = detail::trim(value);
            // libcurl's spelling: "Name;" sends an empty field, "Name:" would send none.
            append(content.empty() ? name + ';' : name + ": " + std::string{content});
        }
        // CURLOPT_USERAGENT and CURLOPT_ACCEPT_ENCODING would be formatted twice in every exchange.
        if (user_agent && !headers.contains("User-Agent")) append("User-Agent: " + *user_agent);
        if (!headers.contains("Accept-Encoding")) append("Accept-Encoding: " + accepted_encodings());
        if (body == Body::follows) {
            // libcurl's inventions: a wait of a second for "100 Continue", and a form's content type.
            if (!headers.contains("Expect")) append("Expect:");
            if (!headers.contains("Content-Type")) append("Content-Type:");
        }
    }
    HeaderList(const HeaderList&) = delete;
    HeaderList& operator=(const HeaderList&) = delete;

    bool is_of(const Headers& headers) const noexcept {
        return std::equal(headers_.begin(), headers_.end(), headers.begin(), headers.end(),
                          [](const Header& a, const Header& b) { return a.name == b.name && a.value == b.value; });
    }
    bool is_of(const Headers& headers, Body body) const noexcept { return body_ == body && is_of(headers); }

    curl_slist* get() const noexcept { return lines_.get(); }

private:
    struct Free {
        void operator()(curl_slist* list) const noexcept { curl_slist_free_all(list); }
    };

    void append(const std::string& line) {
        curl_slist* longer = curl_slist_append(lines_.get(), line.c_str());
        if (longer == nullptr) throw std::bad_alloc{};
        static_cast<void>(lines_.release());
        lines_.reset(longer);
    }

    const Headers headers_;
    const Body body_;
    std::unique_ptr<curl_slist, Free> lines_;
};

}  // namespace breakwater::curl
