#include "certificates.hpp"
#include "raw_server.hpp"

#include <breakwater/store/redis/connections.hpp>

#include <catch_shim.hpp>
#include <redis_recorder.hpp>
#include <redis_server.hpp>

#include <chrono>
#include <string>

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::redis::Connections;
using bw::test::ask;
using bw::test::RedisRecorder;
using bw::test::words;
using Catch::Matchers::ContainsSubstring;

#ifdef BREAKWATER_REDIS_TLS

TEST_CASE("rediss:// speaks TLS with a server whose certificate is trusted and for its host, and with no other") {
    const bw::test::CertificateAuthority authority;
    const bw::test::CertificateAuthority stranger;
    const auto files = authority.write_files("IP:127.0.0.1,DNS:localhost");
    const std::string port = std::to_string(bw::test::Listener{}.port());
    const bw::test::RedisServer server{
        {.config = {"tls-port " + port, "tls-cert-file " + files.certificate, "tls-key-file " + files.key,
                    "tls-ca-cert-file " + authority.file(), "tls-auth-clients no"}}};
    bw::RedisStoreOptions options{.url = "rediss://127.0.0.1:" + port,
                                  .ca_file = authority.file(),
                                  .command_timeout = 5s,
                                  .ping_interval = 50ms,
                                  .heartbeat_interval = 50ms};
    const auto reason = [](const bw::RedisStoreOptions& wrong) {
        RedisRecorder recorder;
        Connections connections{wrong, recorder};
        connections.start();
        return recorder.wait_for("down");
    };
    for (const char* host : {"127.0.0.1", "localhost"}) {
        options.url = std::string{"rediss://"} + host + ":" + port;
        RedisRecorder recorder;
        Connections connections{options, recorder};
        connections.subscribe("breakwater:a");
        const std::string large(1'000'000, 'x');
        CHECK(ask(connections, words({"ECHO", large})).text == large);
        recorder.wait_for("fresh");
        CHECK(server.ask({"PUBLISH", "breakwater:a", "hello"}) == ":1\r\n");
        recorder.wait_for("push breakwater:a: hello");
    }
    auto wrong = options;
    wrong.ca_file = stranger.file();
    CHECK_THAT(reason(wrong), ContainsSubstring("certificate is not accepted"));
    wrong = options;
    wrong.url = "rediss://127.0.0.2:" + port;
    CHECK_THAT(reason(wrong), ContainsSubstring("refused"));  // the server listens on 127.0.0.1 only
    wrong = options;
    wrong.ca_file = "/nowhere";
    CHECK(reason(wrong) == "down: the authorities to trust cannot be read");
}

TEST_CASE("rediss:// refuses a certificate that is for another host") {
    const bw::test::CertificateAuthority authority;
    const auto files = authority.write_files("DNS:elsewhere.test");
    const std::string port = std::to_string(bw::test::Listener{}.port());
    const bw::test::RedisServer server{
        {.config = {"tls-port " + port, "tls-cert-file " + files.certificate, "tls-key-file " + files.key,
                    "tls-ca-cert-file " + authority.file(), "tls-auth-clients no"}}};
    for (const char* host : {"127.0.0.1", "localhost"}) {
        RedisRecorder recorder;
        Connections connections{{.url = std::string{"rediss://"} + host + ":" + port, .ca_file = authority.file()},
                                recorder};
        connections.start();
        CHECK_THAT(recorder.wait_for("down"), ContainsSubstring("mismatch"));
    }
}

#else

TEST_CASE("rediss:// is refused where hiredis has no TLS, and not spoken without it") {
    const bw::RedisStoreOptions options{.url = "rediss://127.0.0.1"};
    CHECK_THAT(std::string{validate(options).error().detail()}, ContainsSubstring("hiredis with TLS"));
    const bw::test::Listener listener;
    RedisRecorder recorder;
    Connections connections{{.url = "rediss://127.0.0.1:" + std::to_string(listener.port())}, recorder};
    connections.start();
    CHECK(recorder.wait_for("down") == "down: this program was built without TLS for Redis");
}

#endif
