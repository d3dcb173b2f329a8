#pragma once

#include <breakwater/http/body.hpp>
#include <breakwater/http/request.hpp>
#include <breakwater/http/response.hpp>
#include <breakwater/http/sink.hpp>
#include <breakwater/result.hpp>
#include <breakwater/transport/curl/answer.hpp>
#include <breakwater/transport/curl/error.hpp>
#include <breakwater/transport/curl/global.hpp>
#include <breakwater/transport/curl/options.hpp>
#include <breakwater/transport/transport.hpp>

#include <curl/curl.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <climits>
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
/// Setting an option anew costs libcurl a copy, and building the header list more than all policies together, so a
/// handle remembers what it last sent and sets only what has changed. It stays where it is: libcurl holds its address.
class EasyHandle {
public:
    /// `options` are kept by reference.
    explicit EasyHandle(const CurlOptions& options);
    EasyHandle(const EasyHandle&) = delete;
    EasyHandle& operator=(const EasyHandle&) = delete;

    /// Sets libcurl up for this exchange. `request.body` is not copied and has to stay until `finish`.
    Result<void> prepare(const Request& request, const SendOptions& options);

    /// What the exchange came to, given libcurl's verdict.
    Result<Response> finish(CURLcode verdict);

    /// The error of an exchange that was broken off at the caller's wish.
    Error cancelled() noexcept {
        transfer_.reset();
        return Error{Errc::cancelled}.set_sent(sent());
    }

    /// How many connections the last exchange has opened: 0 if it reused one.
    long connections_opened() const noexcept {
        long count = 0;
        curl_easy_getinfo(easy_.get(), CURLINFO_NUM_CONNECTS, &count);
        return count;
    }

    CURL* get() const noexcept { return easy_.get(); }
    bool uses_tls() const noexcept { return uses_tls_; }

private:
    /// What libcurl is told beyond the name of the method.
    enum class Form : std::uint8_t { plain, no_answer_body, with_body };

    struct Cleanup {
        void operator()(CURL* easy) const noexcept { curl_easy_cleanup(easy); }
        void operator()(curl_slist* list) const noexcept { curl_slist_free_all(list); }
        void operator()(CURLU* url) const noexcept { curl_url_cleanup(url); }
    };

    template <class Value>
    void set(CURLoption option, Value value) {
        const CURLcode result = curl_easy_setopt(easy_.get(), option, value);
        if (result == CURLE_OUT_OF_MEMORY) throw std::bad_alloc{};
        if (result != CURLE_OK) throw Exception{Error{Errc::transport_failed, curl_easy_strerror(result)}};
    }

    Result<void> set_url(const std::string& url);
    Result<void> set_body(const std::optional<Body>& body);
    void set_progress(const OnProgress* listener);
    void set_timeouts(const SendOptions& options);
    void set_method(const Method& method, Form form);
    void set_headers(const Headers& headers, Form form);
    void append(const std::string& line);
    Sent sent() const noexcept { return progress_.times_issued == 0 ? Sent::no : Sent::maybe; }

    static int on_issue(void* self, char*, char*, int, int) noexcept;
    static std::size_t on_read(char* data, std::size_t size, std::size_t count, void* self) noexcept;
    static int on_progress(void* self, curl_off_t to_receive, curl_off_t received, curl_off_t to_send,
                           curl_off_t sent) noexcept;
    static int on_seek(void*, curl_off_t, int) noexcept;
    static curl_socket_t on_open_socket(void* self, curlsocktype, curl_sockaddr* address) noexcept;

    const CurlOptions& options_;
    std::unique_ptr<CURL, Cleanup> easy_;
    Answer answer_;
    Progress progress_;
    std::optional<BodyTransfer> transfer_;  // of a body that is read while it is sent
    std::optional<Error> failure_;          // why a callback stopped the exchange
    const OnProgress* listener_ = nullptr;
    breakwater::Progress told_{};
    char message_[CURL_ERROR_SIZE] = {};

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

inline EasyHandle::EasyHandle(const CurlOptions& options) : options_{options}, easy_{curl_easy_init()} {
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
    set(CURLOPT_ACCEPT_ENCODING, "");  // decode what comes; set_headers says what is asked for
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
    const auto identical = [](const Header& a, const Header& b) { return a.name == b.name && a.value == b.value; };
    const bool is_new_url = url_ != request.url;
    const bool is_new_method = method_ != request.method;
    const bool are_new_headers = !headers_ || !std::equal(headers_->begin(), headers_->end(), request.headers.begin(),
                                                          request.headers.end(), identical);
    if (is_new_url || is_new_method || are_new_headers) {  // else the last exchange has shown that it is valid
        if (auto valid = validate(request); !valid) return valid;
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
        if (auto known = set_url(request.url); !known) return known;
    }
    if (is_new_method || is_new_form) set_method(request.method, form);
    if (are_new_headers || is_new_form) set_headers(request.headers, form);
    form_ = form;
    if (form == Form::with_body) {
        if (auto ready = set_body(request.body); !ready) return ready;
    }
    set_timeouts(options);

    failure_.reset();
    message_[0] = '\0';
    progress_ = {.times_issued = 0, .connect_timeout_is_shorter = connect_timeout_ < timeout_};
    answer_.begin(is_head ? Answer::Body::none : Answer::Body::expected, options_.max_header_bytes,
                  options.max_response_bytes, options.sink, options.max_sink_bytes);
    set_progress(options.progress);
    return {};
}

/// Parses the URL once: given as text, libcurl would do so in every exchange, which takes a fifth of its CPU time.
inline Result<void> EasyHandle::set_url(const std::string& url) {
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
        own.failure_ = std::move(read.error());
    } catch (const std::exception&) {  // out of memory: must not travel through C
    }
    return CURL_READFUNC_ABORT;
}

/// A body is sent once: to begin it again is the retry policy's to decide.
inline int EasyHandle::on_seek(void*, curl_off_t, int) noexcept { return CURL_SEEKFUNC_FAIL; }

inline void EasyHandle::set_progress(const OnProgress* listener) {
    if ((listener != nullptr) != (listener_ != nullptr)) set(CURLOPT_NOPROGRESS, listener != nullptr ? 0L : 1L);
    listener_ = listener;
    told_ = {};
}

inline int EasyHandle::on_progress(void* self, curl_off_t to_receive, curl_off_t received, curl_off_t to_send,
                                   curl_off_t sent) noexcept {
    auto& own = *static_cast<EasyHandle*>(self);
    const auto count = [](curl_off_t bytes) { return static_cast<std::uint64_t>(std::max<curl_off_t>(bytes, 0)); };
    const auto known = [&](curl_off_t bytes) { return bytes > 0 ? std::optional{count(bytes)} : std::nullopt; };
    const breakwater::Progress now{count(sent), known(to_send), count(received), known(to_receive)};
    if (own.listener_ == nullptr || now == own.told_) return 0;
    try {
        own.told_ = now;
        auto told = tell(*own.listener_, now);
        if (told) return 0;
        own.failure_ = std::move(told.error());
    } catch (const std::exception&) {  // out of memory: must not travel through C
    }
    return 1;
}

inline void EasyHandle::set_timeouts(const SendOptions& options) {
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

inline void EasyHandle::set_method(const Method& method, Form form) {
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

inline void EasyHandle::set_headers(const Headers& headers, Form form) {
    form_.reset();
    set(CURLOPT_HTTPHEADER, static_cast<curl_slist*>(nullptr));
    header_list_.reset();
    for (const auto& [name, value] : headers) {
        const std::string_view content = detail::trim(value);
        // libcurl's spelling: "Name;" sends an empty field, "Name:" would send none.
        append(content.empty() ? name + ';' : name + ": " + std::string{content});
    }
    // CURLOPT_USERAGENT and CURLOPT_ACCEPT_ENCODING would be formatted twice in every exchange.
    if (options_.user_agent && !headers.contains("User-Agent")) append("User-Agent: " + *options_.user_agent);
    if (!headers.contains("Accept-Encoding")) append("Accept-Encoding: " + accepted_encodings());
    if (form == Form::with_body) {
        // libcurl's inventions: a wait of a second for "100 Continue", and a form's content type.
        if (!headers.contains("Expect")) append("Expect:");
        if (!headers.contains("Content-Type")) append("Content-Type:");
    }
    set(CURLOPT_HTTPHEADER, header_list_.get());
    headers_ = headers;
}

inline void EasyHandle::append(const std::string& line) {
    curl_slist* longer = curl_slist_append(header_list_.get(), line.c_str());
    if (longer == nullptr) throw std::bad_alloc{};
    static_cast<void>(header_list_.release());
    header_list_.reset(longer);
}

inline Result<Response> EasyHandle::finish(CURLcode verdict) {
    transfer_.reset();
    if (answer_.failure()) failure_ = std::move(answer_.failure());
    if (failure_) return fail(std::move(failure_->set_sent(sent())));
    if (const auto& refusal = answer_.refusal()) {
        Error error{refusal->code, refusal->reason};
        error.set_sent(sent());
        return fail(std::move(error));
    }
    if (verdict != CURLE_OK) return fail(explain(verdict, message_, progress_));
    if (!answer_.has_headers()) return fail(Errc::protocol_error, "no final answer");
    Response response = answer_.take();
    response.url = *url_;
    return response;
}

}  // namespace breakwater::curl
