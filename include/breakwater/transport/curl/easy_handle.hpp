#pragma once

#include <breakwater/detail/rare.hpp>
#include <breakwater/http/body.hpp>
#include <breakwater/http/request.hpp>
#include <breakwater/http/response.hpp>
#include <breakwater/http/sink.hpp>
#include <breakwater/result.hpp>
#include <breakwater/transport/curl/answer.hpp>
#include <breakwater/transport/curl/error.hpp>
#include <breakwater/transport/curl/global.hpp>
#include <breakwater/transport/curl/last_told.hpp>
#include <breakwater/transport/curl/options.hpp>
#include <breakwater/transport/curl/request_settings.hpp>
#include <breakwater/transport/curl/set_option.hpp>
#include <breakwater/transport/transport.hpp>

#include <curl/curl.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <limits>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace breakwater::curl {

/// One libcurl easy handle that makes one exchange after another: `prepare`, let a multi handle run `get()`, `finish`.
///
/// It stays where it is: libcurl holds its address.
class EasyHandle {
public:
    /// Both are kept by reference.
    EasyHandle(const CurlOptions& options, LastTold& last);
    EasyHandle(const EasyHandle&) = delete;
    EasyHandle& operator=(const EasyHandle&) = delete;

    /// Sets libcurl up for this exchange. `request.body` is not copied and has to stay until `finish`.
    Result<void> prepare(const Request& request, const SendOptions& options);

    /// What the exchange came to, given libcurl's verdict.
    std::unique_ptr<Result<Response>> finish(CURLcode verdict);

    /// The error of an exchange that was broken off for that reason.
    Error broken_off(Errc reason) noexcept {
        transfer_.reset();
        return Error{reason}.set_sent(sent());
    }
    /// The same at the caller's wish.
    Error cancelled() noexcept { return broken_off(Errc::cancelled); }

    /// Whether the request of the exchange may have reached the service.
    Sent sent() const noexcept { return progress_.times_issued == 0 ? Sent::no : Sent::maybe; }

    /// How many connections the last exchange has opened: 0 if it reused one.
    long connections_opened() const noexcept {
        long count = 0;
        curl_easy_getinfo(easy_.get(), CURLINFO_NUM_CONNECTS, &count);
        return count;
    }

    CURL* get() const noexcept { return easy_.get(); }
    bool uses_tls() const noexcept { return settings_.uses_tls(); }
    /// Whether this exchange may share a connection with others at the same time, if the server can do it.
    bool may_multiplex() const noexcept {
        return options_.http_version == HttpVersion::automatic
                   ? uses_tls()
                   : options_.http_version == HttpVersion::http2_prior_knowledge && !needs_own_connection_;
    }

private:
    struct Cleanup {
        void operator()(CURL* easy) const noexcept { curl_easy_cleanup(easy); }
    };

    template <class Value>
    void set(CURLoption option, Value value) {
        set_option(easy_.get(), option, value);
    }

    void choose_connection();
    Result<void> set_body(const std::optional<Body>& body);
    void set_progress(const OnProgress* listener);

    static int on_issue(void* self, char*, char*, int, int) noexcept;
    static std::size_t on_read(char* data, std::size_t size, std::size_t count, void* self) noexcept;
    static int on_progress(void* self, curl_off_t to_receive, curl_off_t received, curl_off_t to_send,
                           curl_off_t sent) noexcept;
    static int on_seek(void*, curl_off_t, int) noexcept;
    static curl_socket_t on_open_socket(void* self, curlsocktype, curl_sockaddr* address) noexcept;

    const CurlOptions& options_;
    std::unique_ptr<CURL, Cleanup> easy_;
    RequestSettings settings_;
    Answer answer_;
    Progress progress_;
    detail::Rare<BodyTransfer> transfer_;  // of a body that is read while it is sent
    detail::Rare<Error> failure_;          // why a callback stopped the exchange
    struct Listener {
        const OnProgress& tell;
        breakwater::Progress told{};
    };
    detail::Rare<Listener> listener_;
    bool needs_own_connection_ = false;
    char message_[CURL_ERROR_SIZE] = {};
};

inline EasyHandle::EasyHandle(const CurlOptions& options, LastTold& last)
    : options_{options}, easy_{curl_easy_init()}, settings_{easy_.get(), last} {
    if (!easy_) throw std::bad_alloc{};
    set(CURLOPT_ERRORBUFFER, +message_);
    set(CURLOPT_NOSIGNAL, 1L);    // see SigpipeGuard
    set(CURLOPT_QUICK_EXIT, 1L);  // breaking off does not wait for a resolver thread
    set(CURLOPT_PROTOCOLS_STR, "http,https");
    // Given even if empty: environment variables are not to redirect credentials.
    set(CURLOPT_PROXY, options.proxy ? options.proxy->c_str() : "");
    set(CURLOPT_NOPROXY, options.no_proxy.c_str());
    set(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);  // a proxy's answer to CONNECT is not the service's
    if (options.unix_socket) set(CURLOPT_UNIX_SOCKET_PATH, options.unix_socket->c_str());
    set(CURLOPT_ACCEPT_ENCODING, "");  // decode what comes; RequestSettings says what is asked for
    const long idle = std::chrono::ceil<std::chrono::duration<long>>(options.max_idle_time).count();
    set(CURLOPT_MAXAGE_CONN, idle);

    const bool verify = options.tls_verification == TlsVerification::full;
    set(CURLOPT_SSL_VERIFYPEER, verify ? 1L : 0L);
    set(CURLOPT_SSL_VERIFYHOST, verify ? 2L : 0L);
    const bool only_newest = options.min_tls_version == TlsVersion::tls1_3;
    set(CURLOPT_SSLVERSION, static_cast<long>(only_newest ? CURL_SSLVERSION_TLSv1_3 : CURL_SSLVERSION_TLSv1_2));
    if (options.ca_file || options.ca_directory) {               // instead of both of the system's
        curl_easy_setopt(easy_.get(), CURLOPT_CAPATH, nullptr);  // may be unknown to the TLS library
        set(CURLOPT_CAINFO, options.ca_file ? options.ca_file->c_str() : nullptr);
    }
    if (options.ca_directory) set(CURLOPT_CAPATH, options.ca_directory->c_str());
    if (const ClientCertificate& own = options.client_certificate; !own.certificate_file.empty()) {
        set(CURLOPT_SSLCERT, own.certificate_file.c_str());
        set(CURLOPT_SSLKEY, own.key_file.empty() ? own.certificate_file.c_str() : own.key_file.c_str());
        if (!own.key_password.empty()) set(CURLOPT_KEYPASSWD, own.key_password.c_str());
    }
    const auto version = [&]() -> long {
        switch (options.http_version) {
            case HttpVersion::automatic: break;
            case HttpVersion::http1_1: return CURL_HTTP_VERSION_1_1;
            case HttpVersion::http2_prior_knowledge: return CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE;
        }
        return CURL_HTTP_VERSION_2TLS;
    }();
    set(CURLOPT_HTTP_VERSION, version);

    set(CURLOPT_HEADERFUNCTION, &Answer::on_header);
    set(CURLOPT_HEADERDATA, &answer_);
    set(CURLOPT_WRITEFUNCTION, &Answer::on_body);
    set(CURLOPT_WRITEDATA, &answer_);
    set(CURLOPT_READFUNCTION, &EasyHandle::on_read);
    set(CURLOPT_READDATA, this);
    set(CURLOPT_SEEKFUNCTION, &EasyHandle::on_seek);
    set(CURLOPT_XFERINFOFUNCTION, &EasyHandle::on_progress);
    set(CURLOPT_XFERINFODATA, this);
    set(CURLOPT_PREREQFUNCTION, &EasyHandle::on_issue);
    set(CURLOPT_PREREQDATA, this);
    set(CURLOPT_OPENSOCKETFUNCTION, &EasyHandle::on_open_socket);
    set(CURLOPT_OPENSOCKETDATA, this);
}

/// libcurl is about to write the request. When it does so again in one exchange, the connection it had reused was dead
/// and it wants to repeat the request, of whatever method and whether or not the service has seen it. That is the retry
/// policy's to decide.
inline int EasyHandle::on_issue(void* self, char*, char*, int, int) noexcept {
    auto& issued = static_cast<EasyHandle*>(self)->progress_.times_issued;
    return ++issued == 1 ? CURL_PREREQFUNC_OK : CURL_PREREQFUNC_ABORT;
}

/// Refuses the new connection for a repetition, sooner than `on_issue` could: the service does not even see it.
inline curl_socket_t EasyHandle::on_open_socket(void* self, curlsocktype, curl_sockaddr* address) noexcept {
    if (static_cast<EasyHandle*>(self)->progress_.times_issued > 0) return CURL_SOCKET_BAD;
    return ::socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

inline Result<void> EasyHandle::prepare(const Request& request, const SendOptions& options) {
    using Form = RequestSettings::Form;
    auto form = settings_.tell(request);
    if (!form) return fail(std::move(form.error()));
    if (*form == Form::with_body) {
        if (auto ready = set_body(request.body); !ready) return ready;
    }
    settings_.tell_timeouts(options);
    choose_connection();

    failure_.reset();
    message_[0] = '\0';
    progress_ = {.times_issued = 0, .connect_timeout_is_shorter = options.connect_timeout < options.timeout};
    answer_.begin(*form == Form::no_answer_body ? Answer::Body::none : Answer::Body::expected,
                  options_.max_header_bytes, options.max_response_bytes, options.sink, options.head,
                  options.max_sink_bytes);
    set_progress(options.progress);
    return {};
}

/// libcurl 7.88 cannot use a connection again, or twice at a time, on which it began with clear-text HTTP/2 by itself.
inline void EasyHandle::choose_connection() {
    const bool needs_own = options_.http_version == HttpVersion::http2_prior_knowledge && !uses_tls() &&
                           curl_version_info(CURLVERSION_NOW)->version_num >> 8 == 0x0758;
    if (needs_own == needs_own_connection_) return;
    set(CURLOPT_FRESH_CONNECT, needs_own ? 1L : 0L);
    set(CURLOPT_FORBID_REUSE, needs_own ? 1L : 0L);
    needs_own_connection_ = needs_own;
}

/// Bytes are handed over whole; anything else is opened now and read in `on_read`.
inline Result<void> EasyHandle::set_body(const std::optional<Body>& body) {
    transfer_.reset();
    if (!body || body->is_text()) {
        const std::string_view text = body ? std::string_view{body->text()} : std::string_view{""};
        set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(text.size()));
        set(CURLOPT_POSTFIELDS, text.data());
        return {};
    }
    auto opened = body->open();
    if (!opened) return fail(std::move(opened.error().set_sent(Sent::no)));
    constexpr auto most = static_cast<std::uint64_t>(std::numeric_limits<curl_off_t>::max());
    const auto size = opened->size;
    if (size && *size > most) return fail(Errc::invalid_request, "body: announces too many bytes");
    transfer_.emplace(*std::move(opened));
    set(CURLOPT_POSTFIELDS, static_cast<const char*>(nullptr));
    set(CURLOPT_POSTFIELDSIZE_LARGE, size ? static_cast<curl_off_t>(*size) : curl_off_t{-1});  // -1: in chunks
    return {};
}

inline std::size_t EasyHandle::on_read(char* data, std::size_t size, std::size_t count, void* self) noexcept {
    auto& own = *static_cast<EasyHandle*>(self);
    try {
        if (!own.transfer_) return 0;
        auto read = own.transfer_->read({data, size * count});
        if (read) return *read;
        own.failure_.emplace(std::move(read.error()));
    } catch (const std::exception&) {  // out of memory: must not travel through C
    }
    return CURL_READFUNC_ABORT;
}

/// A body is sent once: to begin it again is the retry policy's to decide.
inline int EasyHandle::on_seek(void*, curl_off_t, int) noexcept { return CURL_SEEKFUNC_FAIL; }

inline void EasyHandle::set_progress(const OnProgress* listener) {
    if ((listener != nullptr) != static_cast<bool>(listener_)) set(CURLOPT_NOPROGRESS, listener != nullptr ? 0L : 1L);
    listener_.reset();
    if (listener != nullptr) listener_.emplace(*listener);
}

inline int EasyHandle::on_progress(void* self, curl_off_t to_receive, curl_off_t received, curl_off_t to_send,
                                   curl_off_t sent) noexcept {
    auto& own = *static_cast<EasyHandle*>(self);
    const auto count = [](curl_off_t bytes) { return static_cast<std::uint64_t>(std::max<curl_off_t>(bytes, 0)); };
    const auto known = [&](curl_off_t bytes) { return bytes > 0 ? std::optional{count(bytes)} : std::nullopt; };
    const breakwater::Progress now{count(sent), known(to_send), count(received), known(to_receive)};
    if (!own.listener_ || now == own.listener_->told) return 0;
    try {
        own.listener_->told = now;
        auto told = tell(own.listener_->tell, now);
        if (told) return 0;
        own.failure_.emplace(std::move(told.error()));
    } catch (const std::exception&) {  // out of memory: must not travel through C
    }
    return 1;
}

inline std::unique_ptr<Result<Response>> EasyHandle::finish(CURLcode verdict) {
    const auto failed = [](Error&& error) { return std::make_unique<Result<Response>>(fail(std::move(error))); };
    transfer_.reset();
    for (detail::Rare<Error>* const failure : {&answer_.failure(), &failure_})
        if (*failure) return failed(std::move((*failure)->set_sent(sent())));
    if (const auto& refusal = answer_.refusal(); refusal.reason != nullptr)
        return failed(std::move(Error{refusal.code, refusal.reason}.set_sent(sent())));
    if (verdict != CURLE_OK) return failed(explain(verdict, message_, progress_));
    if (!answer_.has_headers()) return failed(Error{Errc::protocol_error, "no final answer"});
    auto answer = answer_.take();
    (*answer)->url = settings_.url();
    return answer;
}

}  // namespace breakwater::curl
