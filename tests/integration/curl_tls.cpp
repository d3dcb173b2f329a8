#include "certificates.hpp"
#include "raw_server.hpp"

#include <breakwater/transport/curl.hpp>

#include <catch_shim.hpp>

#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <memory>
#include <string>
#include <thread>

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::Errc;
using bw::Sent;
using bw::test::Connection;
using bw::test::RawServer;

namespace {

const bw::test::CertificateAuthority& authority() {
    static const bw::test::CertificateAuthority authority;
    return authority;
}

bw::CurlOptions trusting() { return {.ca_file = authority().file()}; }

/// The error of a call to a server with this certificate, which must not have seen the request.
bw::Error refused(SSL_CTX* tls, const bw::CurlOptions& options) {
    const auto server = RawServer::answering(bw::test::answer(200, "secret"), tls);
    const bw::CurlTransport transport{options};
    auto answer =
        transport.send({.url = server->url("/x?key=secret"), .headers = {{"Authorization", "Bearer secret"}}});
    REQUIRE_FALSE(answer);
    CHECK(answer.error().sent() == Sent::no);
    CHECK(server->requests().empty());
    CHECK(answer.error().message().find("secret") == std::string::npos);
    return answer.error();
}

}  // namespace

TEST_CASE("a good certificate is accepted and the connection kept") {
    const auto tls = authority().serve("IP:127.0.0.1");
    const auto server = RawServer::answering(bw::test::answer(200, "over TLS"), tls.get());
    const bw::CurlTransport transport{trusting()};
    for (int i = 0; i < 3; ++i) {
        const auto answer = transport.send({.url = server->url()});
        REQUIRE(answer);
        CHECK(answer->body == "over TLS");
    }
    CHECK(server->connections() == 1);
}

TEST_CASE("a certificate for another name is not trusted") {
    const auto tls = authority().serve("DNS:other.test");
    CHECK(refused(tls.get(), trusting()).code() == Errc::tls_untrusted);
}

TEST_CASE("an expired certificate is not trusted") {
    const auto tls = authority().serve("IP:127.0.0.1", -1);
    const bw::Error error = refused(tls.get(), trusting());
    CHECK(error.code() == Errc::tls_untrusted);
    CHECK_THAT(error.message(), Catch::Matchers::ContainsSubstring("expired"));
}

TEST_CASE("a certificate of an unknown authority is not trusted") {
    const auto tls = authority().serve("IP:127.0.0.1");
    CHECK(refused(tls.get(), {}).code() == Errc::tls_untrusted);
    const bw::test::CertificateAuthority other;
    CHECK(refused(tls.get(), {.ca_file = other.file()}).code() == Errc::tls_untrusted);
}

TEST_CASE("verification can be turned off by name only") {
    const auto tls = authority().serve("DNS:other.test", -1);
    const auto server = RawServer::answering(bw::test::answer(200, ""), tls.get());
    CHECK(bw::CurlTransport{{.tls_verification = bw::TlsVerification::none}}.send({.url = server->url()}));
}

TEST_CASE("a server without TLS, of TLS 1.1, or a missing authority file fails the handshake") {
    const bw::CurlTransport transport{trusting()};
    const RawServer clear_text{[](Connection& connection) {
        connection.wait_for_bytes();
        connection.send("HTTP/1.1 400 Bad Request\r\n\r\n");
        connection.wait_for_close();
    }};
    CHECK(transport.send({.url = "https" + clear_text.url().substr(4)}).error().code() == Errc::tls_failed);

    const auto old = authority().serve("IP:127.0.0.1");
    SSL_CTX_set_min_proto_version(old.get(), TLS1_VERSION);
    SSL_CTX_set_max_proto_version(old.get(), TLS1_1_VERSION);
    SSL_CTX_set_cipher_list(old.get(), "ALL:@SECLEVEL=0");
    CHECK(refused(old.get(), trusting()).code() == Errc::tls_failed);

    const auto good = authority().serve("IP:127.0.0.1");
    CHECK(refused(good.get(), {.ca_file = "/nowhere/authority.pem"}).code() == Errc::tls_failed);
}

TEST_CASE("SIGPIPE never reaches the program") {
    const bool use_tls = GENERATE(false, true);
    const auto previous = ::signal(SIGPIPE, SIG_DFL);  // it would end this program
    const auto tls = authority().serve("IP:127.0.0.1");
    const RawServer server{[](Connection& connection) {
                               if (!connection.handshake() || connection.read_request().empty()) return;
                               connection.send(bw::test::answer(200, ""));
                               connection.wait_for_bytes();
                               connection.reset();
                           },
                           use_tls ? tls.get() : nullptr};
    {
        const bw::CurlTransport transport{trusting()};
        for (int i = 0; i < 5; ++i) {
            CHECK(transport.send({.url = server.url()}));
            CHECK_FALSE(
                transport.send({.method = bw::Method::post, .url = server.url(), .body = std::string(4 << 20, 'x')}));
            CHECK(transport.send({.url = server.url()}));
            CHECK_FALSE(transport.send({.url = server.url()}));  // the reset meets the transport's own goodbye
        }
    }
    sigset_t mask;
    pthread_sigmask(SIG_BLOCK, nullptr, &mask);
    CHECK(sigismember(&mask, SIGPIPE) == 0);
    ::signal(SIGPIPE, previous);
}

TEST_CASE("the SIGPIPE guard takes away what was raised under it and nothing else") {
    const auto previous = ::signal(SIGPIPE, SIG_DFL);
    sigset_t pending;
    {
        const bw::curl::SigpipeGuard guard;
        pthread_kill(pthread_self(), SIGPIPE);
    }
    sigpending(&pending);
    CHECK(sigismember(&pending, SIGPIPE) == 0);

    sigset_t sigpipe;  // a program that blocks it and has one pending keeps it
    sigemptyset(&sigpipe);
    sigaddset(&sigpipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &sigpipe, nullptr);
    pthread_kill(pthread_self(), SIGPIPE);
    {
        const bw::curl::SigpipeGuard guard;
    }
    sigpending(&pending);
    CHECK(sigismember(&pending, SIGPIPE) == 1);
    int taken = 0;
    sigwait(&sigpipe, &taken);
    {
        const bw::curl::SigpipeGuard guard;
    }
    sigset_t mask;
    pthread_sigmask(SIG_BLOCK, nullptr, &mask);
    CHECK(sigismember(&mask, SIGPIPE) == 1);
    pthread_sigmask(SIG_UNBLOCK, &sigpipe, nullptr);
    ::signal(SIGPIPE, previous);
}
