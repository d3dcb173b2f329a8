#pragma once

#include <breakwater/http/detail/characters.hpp>
#include <breakwater/http/headers.hpp>
#include <breakwater/http/method.hpp>
#include <breakwater/http/request.hpp>
#include <breakwater/result.hpp>
#include <breakwater/timeline.hpp>
#include <breakwater/transport/curl/header_list.hpp>
#include <breakwater/transport/curl/last_told.hpp>
#include <breakwater/transport/curl/parsed_url.hpp>
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

    /// Both outlive this.
    RequestSettings(CURL* easy, LastTold& last) : easy_{easy}, last_{last} {}
    RequestSettings(const RequestSettings&) = delete;
    RequestSettings& operator=(const RequestSettings&) = delete;

    /// `Errc::invalid_request` if the request is not valid.
    Result<Form> tell(const Request& request);
    void tell_timeouts(const SendOptions& options);

    /// Of the last request that was told.
    const std::string& url() const noexcept { return url_->text(); }
    bool uses_tls() const noexcept { return url_->uses_tls(); }

private:
    template <class Value>
    void set(CURLoption option, Value value) {
        set_option(easy_, option, value);
    }

    Result<void> set_url(const std::string& url);
    void set_method(const Method& method, Form form);
    void set_headers(const Headers& headers, Form form);

    CURL* easy_;
    LastTold& last_;

    // What libcurl has been told last.
    std::shared_ptr<const ParsedUrl> url_;
    std::shared_ptr<const HeaderList> headers_;
    Duration timeout_{};
    Duration connect_timeout_{};
    std::optional<Method> method_;
    std::optional<Form> form_;
};

inline Result<RequestSettings::Form> RequestSettings::tell(const Request& request) {
    const bool is_new_url = !url_ || url_->text() != request.url;
    const bool is_new_method = method_ != request.method;
    const bool are_new_headers = !headers_ || !headers_->is_of(request.headers);
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

inline Result<void> RequestSettings::set_url(const std::string& url) {
    auto parsed = last_.url(url);
    if (!parsed) return fail(std::move(parsed.error()));
    set(CURLOPT_URL, static_cast<const char*>(nullptr));  // else libcurl goes on with its text of the last one
    set(CURLOPT_CURLU, (*parsed)->get());
    url_ = *std::move(parsed);
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
    auto list = last_.headers(headers, form == Form::with_body ? HeaderList::Body::follows : HeaderList::Body::none);
    set(CURLOPT_HTTPHEADER, list->get());
    headers_ = std::move(list);
}

}  // namespace breakwater::curl
