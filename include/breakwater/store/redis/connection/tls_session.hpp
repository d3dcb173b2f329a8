#pragma once

#include <breakwater/store/redis/connection/endpoint.hpp>
#include <breakwater/store/redis/url.hpp>

#include <hiredis/hiredis.h>

#include <optional>
#include <string>

#ifdef BREAKWATER_REDIS_TLS
#include <hiredis/hiredis_ssl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <memory>
#endif

namespace breakwater::redis {

#ifdef BREAKWATER_REDIS_TLS

/// TLS on one connection: 1.2 or newer, with a certificate that is valid for the URL's host. hiredis, which does not
/// check for whom a certificate is, gets a session that does.
class TlsSession {
public:
    /// Of a connected socket. What is wrong, or nothing.
    std::string begin(redisContext& context, const Url& url, const std::optional<std::string>& ca_file) {
        const std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> settings{SSL_CTX_new(TLS_client_method()),
                                                                         &SSL_CTX_free};
        if (settings == nullptr) return "TLS cannot be set up";
        SSL_CTX_set_min_proto_version(settings.get(), TLS1_2_VERSION);
        SSL_CTX_set_verify(settings.get(), SSL_VERIFY_PEER, nullptr);
        const int trusted = ca_file ? SSL_CTX_load_verify_locations(settings.get(), ca_file->c_str(), nullptr)
                                    : SSL_CTX_set_default_verify_paths(settings.get());
        session_ = trusted == 1 ? SSL_new(settings.get()) : nullptr;
        if (session_ == nullptr) return "the authorities to trust cannot be read";
        const bool is_named = is_numeric(url)
                                  ? X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(session_), url.host.c_str()) == 1
                                  : SSL_set1_host(session_, url.host.c_str()) == 1 &&
                                        SSL_set_tlsext_host_name(session_, url.host.c_str()) == 1;
        if (!is_named) {
            SSL_free(session_);
            session_ = nullptr;
            return "the host's name cannot be checked";
        }
        if (redisInitiateSSL(&context, session_) == REDIS_OK) return {};  // the session is the context's from here
        session_ = nullptr;
        return std::string{"TLS: "} + context.errstr;
    }
    void end() noexcept { session_ = nullptr; }
    bool is_active() const noexcept { return session_ != nullptr; }
    /// Whether nothing can be sent before something is read.
    bool wants_to_read() const noexcept { return session_ != nullptr && SSL_want_read(session_); }
    /// What is wrong with the server's certificate, or nothing.
    std::string fault() const {
        const long result = session_ != nullptr ? SSL_get_verify_result(session_) : X509_V_OK;
        if (result == X509_V_OK) return {};
        return std::string{"the server's certificate is not accepted: "} + X509_verify_cert_error_string(result);
    }

private:
    SSL* session_ = nullptr;
};

#else

/// Where hiredis has no TLS no URL asks for it: `validate` refuses that.
class TlsSession {
public:
    std::string begin(redisContext&, const Url&, const std::optional<std::string>&) {
        return "this program was built without TLS for Redis";
    }
    void end() noexcept {}
    bool is_active() const noexcept { return false; }
    bool wants_to_read() const noexcept { return false; }
    std::string fault() const { return {}; }
};

#endif

}  // namespace breakwater::redis
