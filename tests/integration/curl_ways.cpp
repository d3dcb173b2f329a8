// The ways to a service: client certificates, TLS versions, a proxy, a Unix domain socket; and no cookies.
#include "certificates.hpp"
#include "raw_server.hpp"

#include <breakwater/client/curl_from_json.hpp>
#include <breakwater/client/from_json.hpp>
#include <breakwater/resilient_client.hpp>
#include <breakwater/transport/curl.hpp>

#include <catch_shim.hpp>

#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <thread>

namespace bw = breakwater;
using bw::Errc;
using bw::Sent;
using bw::test::Connection;
using bw::test::RawServer;

namespace {

const bw::test::CertificateAuthority& authority() {
    static const bw::test::CertificateAuthority authority;
    return authority;
}

/// A server that lets in only who shows a certificate of this authority.
bw::test::TlsContext demanding(const bw::test::CertificateAuthority& trusted, int newest = TLS1_3_VERSION) {
    auto tls = authority().serve("IP:127.0.0.1");
    SSL_CTX_load_verify_locations(tls.get(), trusted.file().c_str(), nullptr);
    SSL_CTX_set_verify(tls.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
    SSL_CTX_set_max_proto_version(tls.get(), newest);
    return tls;
}

bw::Error failure(const bw::CurlOptions& options, const std::string& url) {
    auto answer = bw::CurlTransport{options}.send({.url = url});
    REQUIRE_FALSE(answer);
    INFO(answer.error().message());
    CHECK(answer.error().message().find("s3cret") == std::string::npos);
    return answer.error();
}

}  // namespace

TEST_CASE("a client certificate is shown, its key given apart, encrypted or not") {
    const auto tls = demanding(authority(), GENERATE(TLS1_2_VERSION, TLS1_3_VERSION));
    const auto server = RawServer::answering(bw::test::answer(200, "welcome"), tls.get());
    for (const std::string password : {"", "s3cret"}) {
        const auto own = authority().write_files("DNS:client.test", "client", password);
        const bw::CurlTransport transport{
            {.ca_file = authority().file(),
             .client_certificate = {
                 .certificate_file = own.certificate, .key_file = own.key, .key_password = password}}};
        const auto answer = transport.send({.url = server->url()});
        REQUIRE(answer);
        CHECK(answer->body == "welcome");
    }
}

TEST_CASE("a client and its transport made from one configuration trust and show what it names") {
    const auto tls = demanding(authority());
    const auto server = RawServer::answering(bw::test::answer(200, "welcome"), tls.get());
    const auto own = authority().write_files("DNS:client.test", "configured", "s3cret");
    ::setenv("BREAKWATER_TEST_KEY", "s3cret", 1);
    nlohmann::json document = {{"base_url", server->url("")},
                               {"retry", {{"max_retries", 0}}},
                               {"transport",
                                {{"ca_file", authority().file()},
                                 {"min_tls_version", "tls1_3"},
                                 {"client_certificate",
                                  {{"certificate_file", own.certificate},
                                   {"key_file", own.key},
                                   {"key_password", {{"env", "BREAKWATER_TEST_KEY"}}}}}}}};
    const auto client = [&] {
        return bw::ResilientClient{bw::value_or_throw(bw::client_options_from_json(document)),
                                   bw::CurlTransport{bw::value_or_throw(bw::curl_options_from_json(document))}};
    };
    CHECK(bw::value_or_throw(client().get("/x")).body == "welcome");
    document["transport"].erase("client_certificate");
    CHECK_FALSE(client().get("/x"));
    document["transport"].erase("ca_file");
    CHECK(client().get("/x").error().code() == Errc::tls_untrusted);
    CHECK(server->requests().size() == 1);
    ::unsetenv("BREAKWATER_TEST_KEY");
}

TEST_CASE("no, a wrong or an unreadable client certificate fails the handshake, and the service sees no request") {
    const int newest = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
    const auto tls = demanding(authority(), newest);
    const auto server = RawServer::answering(bw::test::answer(200, ""), tls.get());
    bw::CurlOptions options{.ca_file = authority().file()};
    const auto is_rejection = [&](Errc code) {  // a TLS 1.3 server's word may be overtaken by its closing
        const bool may_be_lost = newest == TLS1_3_VERSION;
        return code == Errc::tls_failed || (may_be_lost && (code == Errc::send_failed || code == Errc::receive_failed));
    };
    CHECK(is_rejection(failure(options, server->url()).code()));

    const bw::test::CertificateAuthority other;
    const auto stranger = other.write_files("DNS:client.test", "stranger");
    options.client_certificate = {.certificate_file = stranger.certificate, .key_file = stranger.key};
    CHECK(is_rejection(failure(options, server->url()).code()));

    const auto own = authority().write_files("DNS:client.test", "own", "s3cret");
    options.client_certificate = {.certificate_file = own.certificate, .key_file = own.key, .key_password = "wr0ng"};
    CHECK(failure(options, server->url()).code() == Errc::tls_failed);
    options.client_certificate = {.certificate_file = "/nowhere/client.pem"};
    CHECK(failure(options, server->url()).code() == Errc::tls_failed);
    CHECK(server->requests().empty());
}

TEST_CASE("a server that speaks only older TLS than asked for fails the handshake") {
    const auto tls = authority().serve("IP:127.0.0.1");
    SSL_CTX_set_max_proto_version(tls.get(), TLS1_2_VERSION);
    const auto server = RawServer::answering(bw::test::answer(200, ""), tls.get());
    bw::CurlOptions options{.ca_file = authority().file()};
    CHECK(bw::CurlTransport{options}.send({.url = server->url()}));
    options.min_tls_version = bw::TlsVersion::tls1_3;
    const bw::Error error = failure(options, server->url());
    CHECK(error.code() == Errc::tls_failed);
    CHECK(error.sent() == Sent::no);
}

TEST_CASE("a directory of authorities is trusted instead of the system's") {
    const auto tls = authority().serve("IP:127.0.0.1");
    const auto server = RawServer::answering(bw::test::answer(200, ""), tls.get());
    const bw::test::TemporaryDirectory directory;
    const std::string path = (directory / ".").string();
    CHECK(failure({.ca_directory = path}, server->url()).code() == Errc::tls_untrusted);

    std::FILE* in = std::fopen(authority().file().c_str(), "r");
    const bw::test::Certificate own{PEM_read_X509(in, nullptr, nullptr, nullptr)};
    std::fclose(in);
    char name[16];
    std::snprintf(name, sizeof name, "%08lx.0", X509_subject_name_hash(own.get()));
    std::filesystem::copy_file(authority().file(), directory / name);
    CHECK(bw::CurlTransport{{.ca_directory = path}}.send({.url = server->url()}));
}

TEST_CASE("a proxy gets plain requests whole, with its own credentials and for all hosts but those named") {
    const auto proxy = RawServer::answering(bw::test::answer(200, "by the proxy"));
    const auto direct = RawServer::answering(bw::test::answer(200, "direct"));
    const std::string at = "127.0.0.1:" + std::to_string(proxy->port());
    const bw::CurlTransport transport{{.proxy = "http://ann:s3cret@" + at, .no_proxy = "127.0.0.1"}};
    CHECK(transport.send({.url = "http://service.test/x"}).value().body == "by the proxy");
    const std::string seen = proxy->requests().at(0);
    CHECK(seen.starts_with("GET http://service.test/x HTTP/1.1\r\n"));
    CHECK_THAT(seen, Catch::Matchers::ContainsSubstring("Proxy-Authorization: Basic YW5uOnMzY3JldA==\r\n"));
    CHECK(transport.send({.url = direct->url()}).value().body == "direct");
    CHECK_THAT(direct->requests().at(0), !Catch::Matchers::ContainsSubstring("Proxy-Authorization"));
}

TEST_CASE("a proxy that refuses the tunnel gets no header of the request and is no connection") {
    const auto proxy = RawServer::answering(bw::test::answer(407, "who are you"));
    const bw::CurlTransport transport{{.proxy = "http://ann:s3cret@127.0.0.1:" + std::to_string(proxy->port())}};
    const auto answer =
        transport.send({.url = "https://service.test/x", .headers = {{"Authorization", "Bearer s3cret"}}});
    REQUIRE_FALSE(answer);
    CHECK(answer.error().code() == Errc::connect_failed);
    CHECK(answer.error().sent() == Sent::no);
    CHECK(answer.error().message().find("s3cret") == std::string::npos);
    CHECK(proxy->requests().at(0).starts_with("CONNECT service.test:443 HTTP/1.1\r\n"));
    CHECK(proxy->requests().at(0).find("Bearer") == std::string::npos);
}

TEST_CASE("a proxy that is not there is no connection, without its password in the message") {
    const bw::test::Listener gone;
    const std::string at = "127.0.0.1:" + std::to_string(gone.port());
    ::shutdown(gone.socket(), SHUT_RDWR);
    CHECK(failure({.proxy = "http://ann:s3cret@" + at}, "http://service.test/").code() == Errc::connect_failed);
    CHECK(failure({.proxy = "http://ann:s3cret@nowhere.invalid"}, "http://service.test/").code() ==
          Errc::resolve_failed);
}

TEST_CASE("a Unix domain socket is spoken to whatever the URL's host, and one that is not there is no connection") {
    const bw::test::TemporaryDirectory directory;
    const std::string path = (directory / "service.sock").string();
    const bw::test::Listener listener{path};
    std::string seen;
    std::jthread server{[&] {
        Connection connection{::accept(listener.socket(), nullptr, nullptr), nullptr, 1};
        seen = connection.read_request();
        connection.send(bw::test::answer(200, "local"));
    }};
    const auto answer = bw::CurlTransport{{.unix_socket = path}}.send({.url = "http://docker/v1/info"});
    server.join();
    REQUIRE(answer);
    CHECK(answer->body == "local");
    CHECK(seen.starts_with("GET /v1/info HTTP/1.1\r\nHost: docker\r\n"));
    CHECK(failure({.unix_socket = path + ".none"}, "http://docker/").code() == Errc::connect_failed);
}

TEST_CASE("a cookie that a service sets is shown to the caller and never sent back") {
    const auto server = RawServer::answering(bw::test::answer(200, "", "Set-Cookie: id=s3cret; Path=/\r\n"));
    const bw::CurlTransport transport;
    for (int i = 0; i < 3; ++i) {
        const auto answer = transport.send({.url = server->url()});
        REQUIRE(answer);
        CHECK(answer->header("Set-Cookie") == "id=s3cret; Path=/");
    }
    for (const std::string& request : server->requests()) CHECK(request.find("Cookie") == std::string::npos);
    CHECK(server->connections() == 1);
}

TEST_CASE("ways that cannot work are refused at construction, without repeating a password") {
    const auto refusal = [](bw::CurlOptions options) {
        const auto made = bw::CurlTransport::make(std::move(options));
        REQUIRE_FALSE(made);
        CHECK(made.error().code() == Errc::invalid_options);
        CHECK(made.error().message().find("s3cret") == std::string::npos);
        return std::string{made.error().detail()};
    };
    CHECK(refusal({.ca_directory = ""}) == "curl.ca_directory: must be a path, got \"\"");
    CHECK(refusal({.client_certificate = {.key_password = "s3cret"}}).starts_with("curl.client_certificate."));
    for (const char* proxy : {"", "ann:s3cret@proxy.test", "ftp://s3cret", "http://", "http://s3cret\r\n.test"})
        CHECK(refusal({.proxy = proxy}) == "curl.proxy: must be a URL with http, https, socks5 or socks5h");
    CHECK(refusal({.proxy = "http://p.test", .unix_socket = "/s"}) ==
          "curl.proxy: must not be given with a unix_socket");
    CHECK(refusal({.unix_socket = ""}).starts_with("curl.unix_socket: "));
    CHECK(refusal({.unix_socket = std::string(108, 's')}).starts_with("curl.unix_socket: "));
}

TEST_CASE("the counts tell connections opened from those used again, for all copies") {
    const auto server = RawServer::answering(bw::test::answer(404, ""));
    const bw::CurlTransport transport;
    const bw::CurlTransport copy = transport;
    CHECK(transport.counts().answers == 0);
    for (int i = 0; i < 3; ++i) CHECK((i == 1 ? copy : transport).send({.url = server->url()}));
    CHECK_FALSE(transport.send({.url = "http://127.0.0.1:1/"}));
    CHECK_FALSE(transport.send({.url = "no url"}));
    CHECK_FALSE(transport.send({.method = bw::Method::head, .url = server->url(), .body = "b"}));
    CHECK(copy.counts() ==
          bw::TransportCounts{.requests = 4, .answers = 3, .connections = 1, .reused = 2, .http1 = 3, .http2 = 0});
}

TEST_CASE("a client shows its connections in its snapshot, and each answer and attempt says whether it found one") {
    const auto server = RawServer::http([](Connection& c, const std::string& request) {
        return c.send(bw::test::answer(request.find("/busy") == request.npos ? 200 : 503, "")) &&
               request.find("/last") == request.npos;
    });
    const bw::ResilientClient client{bw::ClientOptions{
        .base_url = server->url(""), .retry = {.max_retries = 1, .backoff = {.base = std::chrono::milliseconds{1}}}}};
    using enum bw::ConnectionUse;
    CHECK(client.get("/x").value().connection == opened);
    const auto last = client.get("/last");
    CHECK(last.value().connection == reused);
    CHECK(last.value().timeline.at(0).connection == reused);
    const auto busy = client.get("/busy");  // its first attempt needs a new connection
    REQUIRE_FALSE(busy);
    CHECK(busy.error().timeline().at(0).connection == opened);
    CHECK(busy.error().timeline().at(1).connection == reused);
    CHECK(busy.error().response()->connection == reused);
    CHECK(
        client.snapshot()["transport"] ==
        nlohmann::json{{"requests", 4}, {"answers", 4}, {"connections", 2}, {"reused", 2}, {"http1", 4}, {"http2", 0}});
}
