#pragma once

#include <breakwater/http/detail/characters.hpp>
#include <breakwater/http/headers.hpp>
#include <breakwater/http/method.hpp>
#include <breakwater/http/request.hpp>
#include <breakwater/result.hpp>
#include <breakwater/timeline.hpp>
#include <breakwater/transport/curl/global.hpp>
#include <breakwater/transport/curl/set_option.hpp>
#include <breakwater/transport/transport.hpp>

#include <curl/curl.h>

#include <algorithm>
#include <chrono>
#include <climits>
#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace breakwater::curl {

/// What an easy handle is told of a request: URL, method, headers and timeouts. The body is not in it.
///
/// Setting an option anew costs libcurl a copy, and building the header list more than all policies together, so it
/// remembers what it last told and tells only what has changed.
class RequestSettings {
public:
    /// What libcurl is told beyond the name of the method.
    enum class Form : std::uint8_t { plain, no_answer_body, with_body };

    /// The handle outlives this; `user_agent` is kept by reference.
    RequestSettings(CURL* easy, const std::optional<std::string>& user_agent) : easy_{easy}, user_agent_{user_agent} {}
    RequestSettings(const RequestSettings&) = delete;
    RequestSettings& operator=(const RequestSettings&) = delete;

    /// `Errc::invalid_request` if the request is not valid.
    Result<Form> tell(const Request& request);
    void tell_timeouts(const SendOptions& options);

    /// Of the last request that was told.
    const std::string& url() const { return url_.value(); }
    bool uses_tls() const noexcept { return uses_tls_; }

private:
    struct Cleanup {
        void operator()(curl_slist* list) const noexcept { curl_slist_free_all(list); }
        void operator()(CURLU* url) const noexcept { curl_url_cleanup(url); }
    };

    template <class Value>
    void set(CURLoption option, Value value) {
        set_option(easy_, option, value);
    }

    Result<void> set_url(const std::string& url);
    void set_method(const Method& method, Form form);
    void set_headers(const Headers& headers, Form form);
    void append(const std::string& line);

    CURL* easy_;
    const std::optional<std::string>& user_agent_;

    // What libcurl has been told last.
    std::optional<std::string> url_;
    std::unique_ptr<CURLU, Cleanup> parsed_url_;
    bool uses_tls_ = false;
    std::optional<Method> method_;
    std::optional<Form> form_;
    std::optional<Headers> headers_;
    std::unique_ptr<curl_slist, Cleanup> header_list_;
    Duration timeout_{};
    Duration connect_timeout_{};
};

inline Result<RequestSettings::Form> RequestSettings::tell(const Request& request) {
    const auto identical = [](const Header& a, const Header& b) { return a.name == b.name && a.value == b.value; };
    const bool is_new_url = url_ != request.url;
    const bool is_new_method = method_ != request.method;
    const bool are_new_headers = !headers_ || !std::equal(headers_->begin(), headers_->end(), request.headers.begin(),
                                                          request.headers.end(), identical);
    if (is_new_url || is_new_method || are_new_headers) {  // else the last exchange has shown that it is valid
        if (auto valid = validate(request); !valid) return fail(std::move(valid.error()));
    }

    const bool is_head = request.method == Method::head;
    if (is_head && request.body) return fail(Errc::invalid_request, "body: HEAD has none");
    const Form form = is_head ? Form::no_answer_body
                      : request.body || request.method == Method::post || request.method == Method::put ||
                              request.method == Method::patch
                          ? Form::with_body
                          : Form::plain;
    const bool is_new_form = form_ != form;
    if (is_new_url) {
        if (auto known = set_url(request.url); !known) return fail(std::move(known.error()));
    }
    if (is_new_method || is_new_form) set_method(request.method, form);
    if (are_new_headers || is_new_form) set_headers(request.headers, form);
    form_ = form;
    return form;
}

/// Parses the URL once: given as text, libcurl would do so in every exchange, which takes a fifth of its CPU time.
inline Result<void> RequestSettings::set_url(const std::string& url) {
    url_.reset();  // stays so if something below fails
    std::unique_ptr<CURLU, Cleanup> parsed{curl_url()};
    if (!parsed) throw std::bad_alloc{};
    // As is: what is asked for is what was checked.
    const CURLUcode code =
        curl_url_set(parsed.get(), CURLUPART_URL, url.c_str(), CURLU_PATH_AS_IS | CURLU_DISALLOW_USER);
    if (code == CURLUE_OUT_OF_MEMORY) throw std::bad_alloc{};
    if (code != CURLUE_OK) return fail(Errc::invalid_request, std::string{"url: "} + curl_url_strerror(code));
    set(CURLOPT_URL, static_cast<const char*>(nullptr));  // else libcurl goes on with its text of the last one
    set(CURLOPT_CURLU, parsed.get());
    parsed_url_ = std::move(parsed);
    url_ = url;
    uses_tls_ = detail::to_lower(url[4]) == 's';  // "https"
    return {};
}

inline void RequestSettings::tell_timeouts(const SendOptions& options) {
    const auto milliseconds = [](Duration span) {
        const auto count = std::chrono::ceil<std::chrono::milliseconds>(span).count();
        return static_cast<long>(std::clamp<std::int64_t>(count, 1, INT_MAX));
    };
    if (timeout_ != options.timeout) {
        set(CURLOPT_TIMEOUT_MS, milliseconds(options.timeout));
        timeout_ = options.timeout;
    }
    if (connect_timeout_ != options.connect_timeout) {
        set(CURLOPT_CONNECTTIMEOUT_MS, milliseconds(options.connect_timeout));
        connect_timeout_ = options.connect_timeout;
    }
}

inline void RequestSettings::set_method(const Method& method, Form form) {
    method_.reset();
    switch (form) {
        case Form::plain: set(CURLOPT_HTTPGET, 1L); break;
        case Form::no_answer_body: set(CURLOPT_NOBODY, 1L); break;
        case Form::with_body: set(CURLOPT_POST, 1L); break;
    }
    const bool is_own = (form == Form::plain && method == Method::get) || form == Form::no_answer_body ||
                        (form == Form::with_body && method == Method::post);
    if (is_own) {
        set(CURLOPT_CUSTOMREQUEST, static_cast<const char*>(nullptr));
    } else {
        set(CURLOPT_CUSTOMREQUEST, std::string{method.name()}.c_str());
    }
    method_ = method;
}

inline void RequestSettings::set_headers(const Headers& headers, Form form) {
    form_.reset();
    set(CURLOPT_HTTPHEADER, static_cast<curl_slist*>(nullptr));
    header_list_.reset();
    for (const auto& [name, value] : headers) {
        const std::string_view content = detail::trim(value);
        // libcurl's spelling: "Name;" sends an empty field, "Name:" would send none.
        append(content.empty() ? name + ';' : name + ": " + std::string{content});
    }
    // CURLOPT_USERAGENT and CURLOPT_ACCEPT_ENCODING would be formatted twice in every exchange.
    if (user_agent_ && !headers.contains("User-Agent")) append("User-Agent: " + *user_agent_);
    if (!headers.contains("Accept-Encoding")) append("Accept-Encoding: " + accepted_encodings());
    if (form == Form::with_body) {
        // libcurl's inventions: a wait of a second for "100 Continue", and a form's content type.
        if (!headers.contains("Expect")) append("Expect:");
        if (!headers.contains("Content-Type")) append("Content-Type:");
    }
    set(CURLOPT_HTTPHEADER, header_list_.get());
    headers_ = headers;
}

inline void RequestSettings::append(const std::string& line) {
    curl_slist* longer = curl_slist_append(header_list_.get(), line.c_str());
    if (longer == nullptr) throw std::bad_alloc{};
    static_cast<void>(header_list_.release());
    header_list_.reset(longer);
}

}  // namespace breakwater::curl
