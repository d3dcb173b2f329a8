#pragma once

#include <breakwater/errc.hpp>
#include <breakwater/error.hpp>

#include <curl/curl.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace breakwater::curl {

/// What libcurl's code means when nothing else is known; empty for a code this header does not know (libcurl adds one
/// now and then) and for `CURLE_OK`.
constexpr std::optional<Errc> errc_of(CURLcode code) noexcept {
    switch (code) {
        case CURLE_OK: return std::nullopt;

        case CURLE_UNSUPPORTED_PROTOCOL:
        case CURLE_URL_MALFORMAT: return Errc::invalid_request;

        case CURLE_COULDNT_RESOLVE_PROXY:
        case CURLE_COULDNT_RESOLVE_HOST: return Errc::resolve_failed;
        case CURLE_COULDNT_CONNECT:
        case CURLE_INTERFACE_FAILED:
        case CURLE_NO_CONNECTION_AVAILABLE:
        case CURLE_QUIC_CONNECT_ERROR:
        case CURLE_PROXY: return Errc::connect_failed;

        case CURLE_SSL_CONNECT_ERROR:
        case CURLE_SSL_ENGINE_NOTFOUND:
        case CURLE_SSL_ENGINE_SETFAILED:
        case CURLE_SSL_ENGINE_INITFAILED:
        case CURLE_SSL_CERTPROBLEM:
        case CURLE_SSL_CIPHER:
        case CURLE_USE_SSL_FAILED:
        case CURLE_SSL_CACERT_BADFILE:
        case CURLE_SSL_CRL_BADFILE:
        case CURLE_SSL_CLIENTCERT: return Errc::tls_failed;
        case CURLE_PEER_FAILED_VERIFICATION:
        case CURLE_SSL_ISSUER_ERROR:
        case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
        case CURLE_SSL_INVALIDCERTSTATUS: return Errc::tls_untrusted;

        case CURLE_OPERATION_TIMEDOUT: return Errc::attempt_timeout;
        case CURLE_SEND_ERROR:
        case CURLE_SEND_FAIL_REWIND: return Errc::send_failed;
        case CURLE_RECV_ERROR:
        case CURLE_HTTP2_STREAM:
        case CURLE_SSL_SHUTDOWN_FAILED: return Errc::receive_failed;
        case CURLE_GOT_NOTHING: return Errc::empty_answer;
        case CURLE_PARTIAL_FILE: return Errc::truncated;
        case CURLE_WEIRD_SERVER_REPLY:
        case CURLE_HTTP2:
        case CURLE_HTTP3: return Errc::protocol_error;
        case CURLE_BAD_CONTENT_ENCODING: return Errc::bad_encoding;
        case CURLE_FILESIZE_EXCEEDED: return Errc::too_large;
#if LIBCURL_VERSION_NUM >= 0x080600
        case CURLE_TOO_LARGE: return Errc::too_large;
#endif

        // libcurl or this machine in trouble.
        case CURLE_FAILED_INIT:
        case CURLE_NOT_BUILT_IN:
        case CURLE_OUT_OF_MEMORY:
        case CURLE_WRITE_ERROR:
        case CURLE_READ_ERROR:
        case CURLE_ABORTED_BY_CALLBACK:
        case CURLE_FUNCTION_NOT_FOUND:
        case CURLE_BAD_FUNCTION_ARGUMENT:
        case CURLE_UNKNOWN_OPTION:
        case CURLE_SETOPT_OPTION_SYNTAX:
        case CURLE_AGAIN:
        case CURLE_RECURSIVE_API_CALL:
        case CURLE_UNRECOVERABLE_POLL: return Errc::transport_failed;
        // Features of HTTP that are never turned on.
        case CURLE_HTTP_RETURNED_ERROR:
        case CURLE_RANGE_ERROR:
        case CURLE_HTTP_POST_ERROR:
        case CURLE_BAD_DOWNLOAD_RESUME:
        case CURLE_TOO_MANY_REDIRECTS:
        case CURLE_AUTH_ERROR: return Errc::transport_failed;
        // Other protocols, which are never spoken.
        case CURLE_REMOTE_ACCESS_DENIED:
        case CURLE_FTP_ACCEPT_FAILED:
        case CURLE_FTP_WEIRD_PASS_REPLY:
        case CURLE_FTP_ACCEPT_TIMEOUT:
        case CURLE_FTP_WEIRD_PASV_REPLY:
        case CURLE_FTP_WEIRD_227_FORMAT:
        case CURLE_FTP_CANT_GET_HOST:
        case CURLE_FTP_COULDNT_SET_TYPE:
        case CURLE_FTP_COULDNT_RETR_FILE:
        case CURLE_QUOTE_ERROR:
        case CURLE_UPLOAD_FAILED:
        case CURLE_FTP_PORT_FAILED:
        case CURLE_FTP_COULDNT_USE_REST:
        case CURLE_FILE_COULDNT_READ_FILE:
        case CURLE_LDAP_CANNOT_BIND:
        case CURLE_LDAP_SEARCH_FAILED:
        case CURLE_LOGIN_DENIED:
        case CURLE_TFTP_NOTFOUND:
        case CURLE_TFTP_PERM:
        case CURLE_REMOTE_DISK_FULL:
        case CURLE_TFTP_ILLEGAL:
        case CURLE_TFTP_UNKNOWNID:
        case CURLE_REMOTE_FILE_EXISTS:
        case CURLE_TFTP_NOSUCHUSER:
        case CURLE_REMOTE_FILE_NOT_FOUND:
        case CURLE_SSH:
        case CURLE_FTP_PRET_FAILED:
        case CURLE_RTSP_CSEQ_ERROR:
        case CURLE_RTSP_SESSION_ERROR:
        case CURLE_FTP_BAD_FILE_LIST:
        case CURLE_CHUNK_FAILED: return Errc::transport_failed;

        default: break;
    }
    // Codes that libcurl keeps free. Newer headers rename some, so they go by number.
    constexpr int unused[] = {20, 24, 29, 32, 40, 44, 46, 50, 51, 57, 62, 75, 76};
    if (std::find(std::begin(unused), std::end(unused), static_cast<int>(code)) != std::end(unused)) {
        return Errc::transport_failed;
    }
    return std::nullopt;
}

/// How far the exchange was when it failed.
struct Progress {
    /// How often libcurl was about to write the request. At the second time it is stopped: it would send again.
    unsigned times_issued = 0;
    /// Of the two timeouts, whether the connect timeout comes first.
    bool connect_timeout_is_shorter = true;
};

/// libcurl's message in one short line: no control characters and nothing that looks like a query.
inline std::string tidy(std::string_view message) {
    constexpr std::size_t longest = 160;
    std::string line;
    bool in_query = false;
    for (const char c : message.substr(0, longest)) {
        const bool is_visible = static_cast<unsigned char>(c) > ' ' && c != '\x7f';
        if (c == '?') in_query = true;
        if (!is_visible) in_query = false;
        if (!in_query) line += is_visible ? c : ' ';
    }
    line.erase(line.find_last_not_of(' ') + 1);
    return line;
}

/// The error for libcurl's `code` and `message` (its error buffer), as far as the exchange had come.
///
/// A code that would mean "never sent" is believed only while the request was not issued: afterwards it tells of a
/// second connection, made to send the request again.
inline Error explain(CURLcode code, std::string_view message, Progress progress) {
    Errc errc = errc_of(code).value_or(Errc::transport_failed);
    if (progress.times_issued == 0) {
        if (code == CURLE_OPERATION_TIMEDOUT && progress.connect_timeout_is_shorter) errc = Errc::connect_timeout;
        if (errc == Errc::receive_failed && message.find("CONNECT") != message.npos) {
            errc = Errc::connect_failed;  // a proxy that does not let us through
        }
    } else if (code == CURLE_UNSUPPORTED_PROTOCOL) {
        errc = Errc::protocol_error;  // an answer that is no HTTP, taken for HTTP/0.9
    } else if (progress.times_issued > 1 || was_never_sent(errc)) {
        // libcurl keeps the message of the first failure; there is none if the server closed in good order.
        errc = message.starts_with("Send failure")   ? Errc::send_failed
               : message.starts_with("Recv failure") ? Errc::receive_failed
                                                     : Errc::empty_answer;
        if (errc == Errc::empty_answer) message = "it was kept alive from an earlier request";
    } else if (errc == Errc::receive_failed && message.find(" alert ") != message.npos) {
        errc = Errc::tls_failed;  // a TLS 1.3 server rejects the client's certificate after the request has left
    } else if (errc == Errc::receive_failed && message.find("chunked-encoding") != message.npos) {
        errc = Errc::protocol_error;  // libcurl 7.88 has no code of its own for a broken chunk
    }
    if (message.empty()) message = curl_easy_strerror(code);
    Error error{errc, tidy(message)};
    error.set_sent(progress.times_issued == 0 ? Sent::no : Sent::maybe);
    return error;
}

}  // namespace breakwater::curl
