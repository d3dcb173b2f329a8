#include <breakwater/transport/curl.hpp>

#include <catch_shim.hpp>

#include <curl/curl.h>

#include <chrono>
#include <optional>
#include <string>

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::Errc;
using bw::Sent;

TEST_CASE("every libcurl code means something deliberate") {
    for (int number = 1; number < CURL_LAST; ++number) {
        const auto code = static_cast<CURLcode>(number);
        INFO(number << ": " << curl_easy_strerror(code));
        CHECK(bw::curl::errc_of(code));
    }
    CHECK_FALSE(bw::curl::errc_of(CURLE_OK));
    CHECK_FALSE(bw::curl::errc_of(CURL_LAST));
}

TEST_CASE("a libcurl failure says whether the request may have been sent") {
    for (int number = 1; number <= CURL_LAST; ++number) {  // CURL_LAST stands for a code of a newer libcurl
        const auto code = static_cast<CURLcode>(number);
        INFO(number << ": " << curl_easy_strerror(code));
        const bw::Error before = bw::curl::explain(code, "", {.times_issued = 0});
        CHECK(before.sent() == Sent::no);
        for (const unsigned times : {1U, 2U}) {
            const bw::Error after = bw::curl::explain(code, "", {.times_issued = times});
            CHECK(after.sent() == Sent::maybe);
            CHECK_FALSE(bw::was_never_sent(after.code()));
        }
    }
}

TEST_CASE("a timeout before the request was sent is told apart by which limit was shorter") {
    const auto error = [](unsigned issued, bool connect_is_shorter) {
        return bw::curl::explain(CURLE_OPERATION_TIMEDOUT, "", {issued, connect_is_shorter});
    };
    CHECK(error(0, true).code() == Errc::connect_timeout);
    CHECK(error(0, false).code() == Errc::attempt_timeout);
    CHECK(error(0, false).sent() == Sent::no);
    CHECK(error(1, true).code() == Errc::attempt_timeout);
    CHECK(error(1, true).sent() == Sent::maybe);
}

TEST_CASE("an error's detail is one short line without a query") {
    const auto detail = [](const std::string& message) {
        return std::string{bw::curl::explain(CURLE_RECV_ERROR, message, {.times_issued = 1}).detail()};
    };
    CHECK(detail("while reading http://a.test/x?token=secret&b=c from a.test") ==
          "while reading http://a.test/x from a.test");
    CHECK(detail("two\r\nlines\x1b[31m") == "two  lines [31m");
    CHECK(detail(std::string(10'000, 'x')).size() == 160);
    CHECK(detail("") == "Failure when receiving data from the peer");
}

TEST_CASE("bad curl options are named") {
    const auto message = [](const bw::CurlOptions& options) -> std::string {
        const auto made = bw::CurlTransport::make(options);
        return made ? "fine" : made.error().message();
    };
    CHECK(message({}) == "fine");
    CHECK(message({.ca_file = ""}) == "curl.ca_file: must be a path, got \"\"");
    CHECK(message({.user_agent = "a\r\nX: b"}) == "curl.user_agent: must be printable ASCII, got other characters");
    CHECK(message({.max_idle = 0}) == "curl.max_idle: must be 1 to 10000, got 0");
    CHECK(message({.max_connections_per_host = 0}) == "curl.max_connections_per_host: must be 1 to 100000, got 0");
    CHECK(message({.max_connections = 100'001}) == "curl.max_connections: must be 1 to 100000, got 100001");
    CHECK(message({.max_idle_time = 500ms}) == "curl.max_idle_time: must be 1s to 24h, got 500ms");
    CHECK(message({.max_header_bytes = 1}) == "curl.max_header_bytes: must be 1024 to 16777216, got 1");
    CHECK_THROWS_AS(bw::CurlTransport{{.max_idle = 0}}, bw::Exception);
}
