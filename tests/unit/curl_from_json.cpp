#include <breakwater/client/curl_from_json.hpp>
#include <breakwater/client/from_json.hpp>

#include <catch_shim.hpp>

#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <string>
#include <string_view>

namespace bw = breakwater;
using namespace std::chrono_literals;
using nlohmann::json;

namespace {

bw::CurlOptions good(const json& document) {
    auto options = bw::curl_options_from_json(document);
    INFO(document.dump());
    if (!options) FAIL(options.error().detail());
    return *std::move(options);
}

/// What is said about a wrong section; "" if nothing.
std::string mistake_in(const json& document) {
    const auto options = bw::curl_options_from_json(document);
    if (options) return "";
    CHECK(options.error().code() == bw::Errc::invalid_options);
    return std::string{options.error().detail()};
}
std::string mistake(std::string_view section) { return mistake_in({{"transport", json::parse(section)}}); }

/// An environment variable for the length of a test.
class Variable {
public:
    Variable(std::string name, const char* value) : name_{std::move(name)} { setenv(name_.c_str(), value, 1); }
    ~Variable() { unsetenv(name_.c_str()); }
    Variable(const Variable&) = delete;
    Variable& operator=(const Variable&) = delete;

private:
    std::string name_;
};

const std::string no_secrets =
    "a secret must not stand in the configuration; refer to it as {\"env\": \"NAME\"} or {\"file\": \"PATH\"}";

}  // namespace

TEST_CASE("every option of the transport is read from its section of the client's configuration") {
    const Variable key{"BREAKWATER_TEST_KEY", "k-123"};
    const json document = json::parse(R"({
        "name": "dairy",
        "base_url": "https://api.test/v1",
        "transport": {
            "http_version": "http1_1",
            "tls_verification": "none",
            "ca_file": "/etc/ca.pem",
            "ca_directory": "/etc/ca",
            "min_tls_version": "tls1_3",
            "client_certificate": {"certificate_file": "/etc/own.pem", "key_file": "/etc/own.key",
                                   "key_password": {"env": "BREAKWATER_TEST_KEY"}},
            "proxy": "http://proxy.test:3128",
            "no_proxy": "internal.test,127.0.0.1",
            "user_agent": "dairy/1.0",
            "max_idle": 3,
            "max_connections_per_host": 20,
            "max_connections": 100,
            "max_idle_time": "20s",
            "max_header_bytes": "64KiB"
        }
    })");
    // A new option does not fit these names: read it and ask for it here.
    const auto [http_version, tls_verification, ca_file, ca_directory, min_tls_version, certificate, proxy, no_proxy,
                unix_socket, user_agent, max_idle, max_connections_per_host, max_connections, max_idle_time,
                max_header_bytes] = good(document);
    CHECK(http_version == bw::HttpVersion::http1_1);
    CHECK(tls_verification == bw::TlsVerification::none);
    CHECK(ca_file == "/etc/ca.pem");
    CHECK(ca_directory == "/etc/ca");
    CHECK(min_tls_version == bw::TlsVersion::tls1_3);
    const auto& [certificate_file, key_file, key_password] = certificate;
    CHECK(certificate_file == "/etc/own.pem");
    CHECK(key_file == "/etc/own.key");
    CHECK(key_password == "k-123");
    CHECK(proxy == "http://proxy.test:3128");
    CHECK(no_proxy == "internal.test,127.0.0.1");
    CHECK_FALSE(unix_socket);
    CHECK(user_agent == "dairy/1.0");
    CHECK(max_idle == 3);
    CHECK(max_connections_per_host == 20);
    CHECK(max_connections == 100);
    CHECK(max_idle_time == 20s);
    CHECK(max_header_bytes == std::size_t{64} << 10);

    CHECK(good(json::parse(R"({"transport": {"unix_socket": "/run/dairy.sock"}})")).unix_socket == "/run/dairy.sock");
    CHECK(good(json::parse(R"({"transport": {"http_version": "http2_prior_knowledge"}})")).http_version ==
          bw::HttpVersion::http2_prior_knowledge);

    const auto client = bw::client_options_from_json(document);
    REQUIRE(client);
    CHECK(client->name == "dairy");
}

TEST_CASE("without a section, or with an empty one, the transport's options keep their defaults") {
    for (const char* text : {"{}", R"({"name": "dairy"})", R"({"transport": {}})"}) {
        const bw::CurlOptions options = good(json::parse(text));
        CHECK(options.http_version == bw::HttpVersion::automatic);
        CHECK(options.tls_verification == bw::TlsVerification::full);
        CHECK_FALSE(options.ca_file);
        CHECK_FALSE(options.proxy);
        CHECK(options.max_idle == bw::CurlOptions{}.max_idle);
    }
}

TEST_CASE("every mistake in the transport's section is named by its path") {
    CHECK(mistake(R"({"ca_fil": "/x", "max_idle": "many", "http_version": "3", "client_certificate": {"key": ""}})") ==
          R"(transport.http_version: must be one of "automatic", "http1_1", "http2_prior_knowledge", got "3"; )"
          R"(transport.client_certificate.key: unknown key; transport.max_idle: must be an integer, got a string; )"
          R"(transport.ca_fil: unknown key; did you mean "ca_file"?)");
    CHECK(mistake(R"({"max_idle_time": 50})") ==
          R"(transport.max_idle_time: must be a duration with its unit, such as "250ms" or "2min", got 50)");
    CHECK(mistake(R"({"max_header_bytes": "lots"})").starts_with("transport.max_header_bytes: must be a number of"));
    CHECK(mistake(R"({"min_tls_version": 1.2})") ==
          R"(transport.min_tls_version: must be one of "tls1_2", "tls1_3", got 1.2)");
    CHECK(mistake(R"({"proxy": 3128})") == "transport.proxy: must be a URL or a reference to one, got a number");
    CHECK(mistake("[]") == "transport: must be an object, got an array");
    CHECK(mistake_in(json::array()) == "the configuration: must be an object, got an array");
    CHECK(mistake_in(json(json::value_t::discarded)) == "the configuration: must be an object, got nothing");
}

TEST_CASE("what the transport would refuse is refused when it is read") {
    CHECK(mistake(R"({"max_idle": 0})") == "transport.max_idle: must be 1 to 10000, got 0");
    CHECK(mistake(R"({"ca_file": ""})") == R"(transport.ca_file: must be a path, got "")");
    CHECK(mistake(R"({"proxy": "ftp://proxy.test"})") ==
          "transport.proxy: must be a URL with http, https, socks5 or socks5h");
    CHECK(mistake(R"({"unix_socket": "/s", "proxy": "http://p.test"})") ==
          "transport.proxy: must not be given with a unix_socket");
}

TEST_CASE("the password of a key and the URL of a proxy with one are references, and are not repeated") {
    const Variable proxy{"BREAKWATER_TEST_PROXY", "http://ann:hush@proxy.test:3128"};
    CHECK(good(json::parse(R"({"transport": {"proxy": {"env": "BREAKWATER_TEST_PROXY"}}})")).proxy ==
          "http://ann:hush@proxy.test:3128");
    CHECK(mistake(R"({"proxy": "http://ann:hush@proxy.test:3128"})") == "transport.proxy: " + no_secrets);
    CHECK(mistake(R"({"client_certificate": {"certificate_file": "/c", "key_password": "hush"}})") ==
          "transport.client_certificate.key_password: " + no_secrets);
    const Variable wrong{"BREAKWATER_TEST_PROXY", "ann:hush@proxy.test:3128"};
    CHECK(mistake(R"({"proxy": {"env": "BREAKWATER_TEST_PROXY"}})") ==
          "transport.proxy: must be a URL with http, https, socks5 or socks5h");
    CHECK(mistake(R"({"proxy": {"env": "http://ann:hush@proxy.test"}})") ==
          "transport.proxy: \"env\" must be the name of an environment variable");
    CHECK(mistake(R"({"proxy": {"env": "BREAKWATER_TEST_MISSING"}})") ==
          "transport.proxy: the environment variable BREAKWATER_TEST_MISSING is not set");
}

TEST_CASE("an option of the transport outside its section is a mistake to both readers, not skipped") {
    const json flat = json::parse(R"({"ca_file": "/etc/ca.pem", "max_idle": 3})");
    CHECK(mistake_in(flat) ==
          "ca_file: must stand in the section \"transport\"; max_idle: must stand in the section \"transport\"");
    CHECK_FALSE(bw::client_options_from_json(flat));
    const auto misspelt = bw::client_options_from_json(json::parse(R"({"transprot": {}})"));
    REQUIRE_FALSE(misspelt);
    CHECK(misspelt.error().detail() == R"(transprot: unknown key; did you mean "transport"?)");
}
