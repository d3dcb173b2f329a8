#include <breakwater/client/from_json.hpp>
#include <catch_shim.hpp>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace bw = breakwater;
using namespace std::chrono_literals;
using nlohmann::json;

namespace {

bw::Result<bw::ClientOptions> read(std::string_view text) { return bw::client_options_from_json(json::parse(text)); }

bw::ClientOptions good(std::string_view text) {
    auto options = read(text);
    INFO(text);
    if (!options) FAIL(options.error().detail());
    return *std::move(options);
}

/// What is said about a wrong configuration; "" if nothing.
std::string mistake_in(const json& value) {
    const auto options = bw::client_options_from_json(value);
    if (options) return "";
    CHECK(options.error().code() == bw::Errc::invalid_options);
    return std::string{options.error().detail()};
}
std::string mistake(std::string_view text) { return mistake_in(json::parse(text)); }

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

/// A file for the length of a test.
class File {
public:
    explicit File(std::string_view content) : path_{std::filesystem::temp_directory_path() / "breakwater_secret_test"} {
        std::ofstream{path_, std::ios::binary} << content;
    }
    ~File() { std::filesystem::remove(path_); }
    File(const File&) = delete;
    File& operator=(const File&) = delete;
    std::string path() const { return path_.string(); }

private:
    std::filesystem::path path_;
};

}  // namespace

TEST_CASE("a configuration with everything in it is read") {
    const Variable key{"BREAKWATER_TEST_KEY", "k-123"};
    const bw::ClientOptions options = good(R"({
        "name": "dairy_supplier",
        "base_url": "https://api.supplier.example.com/v1",
        "headers": {"X-Tenant": "t1", "Accept": "application/json"},
        "auth": {"bearer": {"env": "BREAKWATER_TEST_KEY"}},
        "timeouts": {"attempt": "2s", "connect": "500ms", "deadline": "2min"},
        "circuit_breaker": {
            "name": "dairy",
            "trip": {"failure_rate": {"ratio": 0.25, "window": {"duration": "10s", "buckets": 5}, "minimum_calls": 4,
                                      "slow_call": {"duration": "2s", "ratio": 0.8}, "bad_ratio": 0.6}},
            "recovery_timeout": "300s", "half_open_probes": 2, "success_threshold": 3, "probe_lease": "1min",
            "deadline_counts_after": "750ms", "shadow": true, "seed": 9,
            "ramped_close": {"duration": "30s", "first_share": 0.2}, "uncounted_tags": ["health", "warm-up"],
            "recovery_growth": {"multiplier": 2, "cap": "20min", "jitter": 0.1, "heed_retry_after": true}
        },
        "bulkhead": {"max_concurrent": 8, "max_queue": 16, "max_wait": "2s"},
        "circuits": {"per": "endpoint", "max_circuits": 9},
        "rate_limit": {
            "algorithm": {"fixed_window": {"permits": 20, "window": "60s"}},
            "max_wait": "1.5s", "max_pause": "10min",
            "per_endpoint": {"algorithm": {"token_bucket": {"permits": 5, "period": "1s", "burst": 2}},
                             "max_endpoints": 7}
        },
        "retry": {"max_retries": 5, "max_retry_after": "1h", "seed": 42,
                  "backoff": {"base": "1s", "multiplier": 1.5, "cap": "30s", "jitter": "equal"}},
        "cache": {"ttl": "120s", "stale_if_error": "1h", "lifetime": "ttl_always"},
        "redirects": {"max": 2, "cross_origin": true},
        "redact": {"query": ["pin"], "headers": ["X-Pin"]},
        "max_response_bytes": "2MiB"
    })");
    CHECK(options.name == "dairy_supplier");
    CHECK(options.base_url == "https://api.supplier.example.com/v1");
    CHECK(options.headers.get("x-tenant") == "t1");
    CHECK(options.headers.size() == 2);
    CHECK(std::get<bw::Bearer>(options.auth).token == "k-123");
    CHECK(options.timeouts.attempt == 2s);
    CHECK(options.timeouts.connect == 500ms);
    CHECK(options.timeouts.deadline == 2min);
    CHECK(options.circuit_breaker.name == "dairy");
    CHECK(options.circuit_breaker.trip == bw::AnyTrip{bw::FailureRate{.ratio = 0.25,
                                                                      .window = bw::TimeWindow{10s, 5},
                                                                      .minimum_calls = 4,
                                                                      .slow_call = {.duration = 2s, .ratio = 0.8},
                                                                      .bad_ratio = 0.6}});
    CHECK(options.circuit_breaker.recovery_timeout == 300s);
    CHECK(options.circuit_breaker.half_open_probes == 2);
    CHECK(options.circuit_breaker.success_threshold == 3);
    CHECK(options.circuit_breaker.probe_lease == 1min);
    CHECK(options.circuit_breaker.deadline_counts_after == 750ms);
    CHECK(options.circuit_breaker.recovery_growth ==
          bw::RecoveryGrowth{.multiplier = 2.0, .cap = 20min, .jitter = 0.1, .heed_retry_after = true});
    CHECK(options.circuit_breaker.ramped_close == bw::RampedClose{.duration = 30s, .first_share = 0.2});
    CHECK(options.circuit_breaker.uncounted_tags == bw::Tags{"health", "warm-up"});
    CHECK(options.circuit_breaker.shadow);
    CHECK(options.circuit_breaker.seed == 9U);
    CHECK(options.bulkhead.max_concurrent == 8U);
    CHECK(options.bulkhead.max_queue == 16);
    CHECK(options.bulkhead.max_wait == 2s);
    CHECK(options.circuits.per.target<bw::ByEndpoint>() != nullptr);
    CHECK(options.circuits.max_circuits == 9);
    CHECK(options.rate_limit.algorithm == bw::AnyAlgorithm{bw::FixedWindow{.permits = 20, .window = 60s}});
    CHECK(options.rate_limit.max_wait == 1500ms);
    CHECK(options.rate_limit.max_pause == 10min);
    CHECK(options.rate_limit.per_endpoint.algorithm ==
          bw::AnyAlgorithm{bw::TokenBucket{.permits = 5, .period = 1s, .burst = 2}});
    CHECK(options.rate_limit.per_endpoint.max_endpoints == 7);
    CHECK(options.retry.max_retries == 5);
    CHECK(options.retry.max_retry_after == 1h);
    CHECK(options.retry.seed == 42U);
    CHECK(options.retry.backoff ==
          bw::Backoff<>{.base = 1s, .multiplier = 1.5, .cap = 30s, .jitter = bw::Jitter::equal});
    CHECK(options.cache.ttl == bw::Duration{120s});
    CHECK(options.cache.stale_if_error == 1h);
    CHECK(options.cache.lifetime == bw::CacheLifetime::ttl_always);
    CHECK(options.redirects.max == 2);
    CHECK(options.redirects.cross_origin);
    CHECK(options.redact == bw::RedactionOptions{.query = {"pin"}, .headers = {"X-Pin"}, .values = {}});
    CHECK(options.max_response_bytes == 2U << 20);
}

TEST_CASE("what a configuration leaves out keeps its default") {
    const bw::ClientOptions options = good("{}");
    CHECK(options.circuit_breaker.trip == bw::AnyTrip{bw::ConsecutiveFailures{5}});
    CHECK(options.rate_limit.algorithm.is_none());
    CHECK(options.retry.max_retries == 3);
    CHECK_FALSE(options.cache.ttl);
    CHECK(std::holds_alternative<std::monostate>(options.auth));
    CHECK(good(R"({"circuit_breaker": {"trip": {"failure_rate": {}}}})").circuit_breaker.trip ==
          bw::AnyTrip{bw::FailureRate{}});
}

TEST_CASE("trip rules have a short form and a word for off") {
    const auto trip = [](const std::string& text) {
        return good(R"({"circuit_breaker": {"trip": )" + text + "}}").circuit_breaker.trip;
    };
    CHECK(trip(R"({"consecutive_failures": {"count": 7}})") == bw::AnyTrip{bw::ConsecutiveFailures{7}});
    CHECK(trip(R"({"consecutive_failures": 7})") == bw::AnyTrip{bw::ConsecutiveFailures{7}});
    CHECK(trip(R"({"failure_rate": {"window": {"count": 50}}})") ==
          bw::AnyTrip{bw::FailureRate{.window = bw::CountWindow{50}}});
    CHECK(trip(R"("never")").is_never());
    CHECK(good(R"({"rate_limit": {"algorithm": "none"}})").rate_limit.algorithm.is_none());
}

TEST_CASE("a duration is a number with its unit") {
    const std::pair<const char*, bw::Duration> durations[] = {
        {"10us", 10us},  {"250ms", 250ms}, {"30s", 30s},    {"2min", 2min}, {"1h", 1h},
        {"1d", 24h},     {"1.5s", 1500ms}, {"0.1s", 100ms}, {"1e3ms", 1s},  {"0.000001s", 1us},
        {"2 min", 2min}, {"-5s", -5s},     {"0s", 0s}};
    for (const auto& [text, duration] : durations) {
        INFO(text);
        CHECK(bw::parse_duration(text) == duration);
    }
    for (const char* text :
         {"",          "s",   "5",   "5 ",  "five s", "5sec", "5S",   "nans",  "infs",  "1e300h",
          "99999999d", "5s ", " 5s", "+5s", "0x5s",   "5s5s", "--5s", "5ms\n", "1.5us", "1.0000011s"}) {
        INFO(text);
        CHECK_FALSE(bw::parse_duration(text));
    }
}

TEST_CASE("a size is an integer or a text with its unit") {
    CHECK(bw::parse_size("16MiB") == std::size_t{16} << 20);
    CHECK(bw::parse_size("500 kB") == 500'000U);
    CHECK(bw::parse_size("1B") == 1U);
    for (const char* text : {"", "16", "16mib", "-1B", "1.5MiB", "99999999999999999999B", "99999999999999GiB"}) {
        INFO(text);
        CHECK_FALSE(bw::parse_size(text));
    }
    CHECK(good(R"({"max_response_bytes": 1000})").max_response_bytes == 1000);
    CHECK(mistake(R"({"max_response_bytes": "lots"})") ==
          R"(max_response_bytes: must be a number of bytes such as 65536 or "16MiB", got "lots")");
    CHECK(mistake(R"({"max_response_bytes": 0})") == "max_response_bytes: must be >= 1, got 0");
}

TEST_CASE("an empty key is named as well") {  // found by tests/fuzz/json_options.cpp
    CHECK(mistake(R"({"": 1})") == R"("": unknown key)");
    CHECK(mistake(R"({"retry": {"": 2}})") == R"(retry."": unknown key)");
}

TEST_CASE("an unknown key is named by its path, with the nearest valid one") {
    CHECK(mistake(R"({"circuit_breaker": {"recovery_timout": "5s"}})") ==
          R"(circuit_breaker.recovery_timout: unknown key; did you mean "recovery_timeout"?)");
    CHECK(mistake(R"({"retry": {"backoff": {"jiter": "full"}}})") ==
          R"(retry.backoff.jiter: unknown key; did you mean "jitter"?)");
    CHECK(mistake(R"({"baseUrl": "http://h"})") == R"(baseUrl: unknown key; did you mean "base_url"?)");
    CHECK(mistake(R"({"rate_limit": {"algorithm": {"token_buckets": {}}}})") ==
          R"(rate_limit.algorithm.token_buckets: unknown key; did you mean "token_bucket"?)");
}

TEST_CASE("nothing is suggested for a key that is near to none") {
    CHECK(mistake(R"({"x": 1})") == "x: unknown key");
    CHECK(mistake(R"({"observability": {}})") == "observability: unknown key");
    CHECK(mistake(R"({"redirects": {"a": 1}})") == "redirects.a: unknown key");
}

TEST_CASE("a value of the wrong type is named with what it is") {
    CHECK(mistake(R"({"retry": {"max_retries": "three"}})") == "retry.max_retries: must be an integer, got a string");
    CHECK(mistake(R"({"retry": {"max_retries": 2.5}})") == "retry.max_retries: must be an integer, got 2.5");
    CHECK(mistake(R"({"retry": {"max_retries": true}})") == "retry.max_retries: must be an integer, got true or false");
    CHECK(mistake(R"({"retry": []})") == "retry: must be an object, got an array");
    CHECK(mistake(R"({"name": null})") == "name: must be a string, got null");
    CHECK(mistake(R"({"redirects": {"cross_origin": 1}})") ==
          "redirects.cross_origin: must be true or false, got a number");
    CHECK(mistake(R"({"headers": {"X-Tenant": 5}})") == "headers.X-Tenant: must be a string, got a number");
    CHECK(mistake(R"({"cache": {"lifetime": "always"}})") ==
          R"(cache.lifetime: must be one of "answer_first", "ttl_always", got "always")");
}

TEST_CASE("a bare number is no duration") {
    CHECK(mistake(R"({"cache": {"ttl": 120}})") ==
          R"(cache.ttl: must be a duration with its unit, such as "250ms" or "2min", got 120)");
    CHECK(mistake(R"({"cache": {"ttl": "120"}})") ==
          R"(cache.ttl: must be a duration such as "250ms", "1.5s" or "2min", got "120")");
    CHECK(mistake(R"({"cache": {"ttl": null}})") ==
          R"(cache.ttl: must be a duration such as "250ms" or "2min", got null)");
}

TEST_CASE("a value out of range is named with its range") {
    CHECK(mistake(R"({"circuit_breaker": {"recovery_timeout": "-5s"}})") ==
          "circuit_breaker.recovery_timeout: must be > 0s, got -5s");
    CHECK(mistake(R"({"circuit_breaker": {"trip": {"consecutive_failures": 0}}})") ==
          "circuit_breaker.trip.consecutive_failures.count: must be 1 to 2147483647, got 0");
    CHECK(mistake(R"({"circuit_breaker": {"trip": {"failure_rate": {"ratio": 1.5}}}})") ==
          "circuit_breaker.trip.failure_rate.ratio: must be > 0 and <= 1, got 1.5");
    CHECK(mistake(R"({"circuit_breaker": {"trip": {"failure_rate": {"window": {"count": 0}}}}})") ==
          "circuit_breaker.trip.failure_rate.window.count: must be 1 to 65536, got 0");
    CHECK(
        good(
            R"({"base_url": "http://a.test", "rate_limit": {"algorithm": {"sliding_window": {"permits": 7, "window": "2min"}}}})")
            .rate_limit.algorithm == bw::AnyAlgorithm{bw::SlidingWindow{.permits = 7, .window = 2min}});
    CHECK(mistake(R"({"rate_limit": {"algorithm": {"fixed_window": {"permits": 0}}}})") ==
          "rate_limit.algorithm.fixed_window.permits: must be 1 to 2147483648, got 0");
    CHECK(mistake(R"({"bulkhead": {"max_concurrent": 0}})") == "bulkhead.max_concurrent: must be 1 to 1000000, got 0");
    CHECK(mistake(R"({"bulkhead": {"max_wait": "25h"}})") == "bulkhead.max_wait: must be 0s to 24h, got 25h");
    CHECK(mistake(R"({"bulkhead": {"max_concurent": 5}})") ==
          "bulkhead.max_concurent: unknown key; did you mean \"max_concurrent\"?");
    CHECK(mistake(R"({"retry": {"max_retries": -1}})") == "retry.max_retries: must be 0 to 4294967295, got -1");
    CHECK(mistake(R"({"retry": {"max_retries": 18446744073709551615}})") ==
          "retry.max_retries: must be 0 to 4294967295, got 18446744073709551615");
    CHECK(mistake(R"({"retry": {"max_retries": 1e300}})") == "retry.max_retries: must be an integer, got 1e+300");
}

TEST_CASE("relations between options are checked") {
    CHECK(mistake(R"({"timeouts": {"attempt": "20s", "deadline": "5s"}})") ==
          "timeouts.attempt: must be <= timeouts.deadline, which is 5s, got 20s");
    CHECK(mistake(R"({"timeouts": {"attempt": "20s"}, "circuit_breaker": {"probe_lease": "15s"}})") ==
          "timeouts.attempt: must be <= circuit_breaker.probe_lease, which is 15s, got 20s");
    CHECK(mistake(R"({"circuit_breaker": {"trip": {"failure_rate": {"window": {"count": 5}}}}})") ==
          "circuit_breaker.trip.failure_rate.minimum_calls: must be <= window.count, which is 5, got 10");
}

TEST_CASE("a choice is made once") {
    const std::string two =
        mistake(R"({"circuit_breaker": {"trip": {"consecutive_failures": 5, "failure_rate": {}}}})");
    CHECK(two.starts_with("circuit_breaker.trip: must be \"never\", "));
    CHECK(mistake(R"({"circuit_breaker": {"trip": "sometimes"}})").starts_with("circuit_breaker.trip: must be"));
    CHECK(mistake(R"({"circuit_breaker": {"trip": {}}})").starts_with("circuit_breaker.trip: must be"));
    CHECK(mistake(R"({"rate_limit": {"algorithm": {"token_bucket": {}, "fixed_window": {}}}})")
              .starts_with("rate_limit.algorithm: must be \"none\", "));
    const std::string window = "circuit_breaker.trip.failure_rate.window: must have either \"count\" or \"duration\"";
    CHECK(mistake(R"({"circuit_breaker": {"trip": {"failure_rate": {"window": {"count": 5, "duration": "1s"}}}}})") ==
          window);
    CHECK(mistake(R"({"circuit_breaker": {"trip": {"failure_rate": {"window": {}}}}})") == window);
    CHECK(mistake(R"({"auth": {"bearer": {"env": "A"}, "header": {}}})").starts_with("auth: must have one of"));
    CHECK(mistake(R"({"auth": {}})").starts_with("auth: must have one of"));
}

TEST_CASE("all mistakes are told at once") {
    CHECK(mistake(R"({"name": 5, "retry": {"max_retries": "x", "sead": 1}, "zzz": 1})") ==
          "name: must be a string, got a number; retry.max_retries: must be an integer, got a string; "
          "retry.sead: unknown key; did you mean \"seed\"?; zzz: unknown key");
    json many = json::object();
    for (int i = 0; i < 1000; ++i) many["unknown_key_" + std::to_string(i)] = i;
    CHECK_THAT(mistake_in(many), Catch::Matchers::ContainsSubstring("; and 980 more"));
}

TEST_CASE("secrets come from the environment or from a file") {
    const Variable user{"BREAKWATER_TEST_USER", "ann"};
    const Variable key{"BREAKWATER_TEST_KEY", "k-123"};
    const File file{"from-file\r\n\n"};
    const auto auth = [](const json& value) {
        auto options = bw::client_options_from_json({{"auth", value}});
        if (!options) FAIL(options.error().detail());
        return options->auth;
    };
    CHECK(std::get<bw::Bearer>(auth({{"bearer", {{"file", file.path()}}}})).token == "from-file");
    const auto basic =
        std::get<bw::Basic>(auth({{"basic", {{"user", "bob"}, {"password", {{"env", "BREAKWATER_TEST_KEY"}}}}}}));
    CHECK(basic.user == "bob");
    CHECK(basic.password == "k-123");
    CHECK(std::get<bw::Basic>(
              auth({{"basic",
                     {{"user", {{"env", "BREAKWATER_TEST_USER"}}}, {"password", {{"env", "BREAKWATER_TEST_KEY"}}}}}}))
              .user == "ann");
    const auto header = std::get<bw::HeaderAuth>(
        auth({{"header", {{"name", "X-Api-Key"}, {"value", {{"env", "BREAKWATER_TEST_KEY"}}}}}}));
    CHECK(header.name == "X-Api-Key");
    CHECK(header.value == "k-123");
    CHECK(good(R"({"headers": {"X-Key": {"env": "BREAKWATER_TEST_KEY"}}})").headers.get("X-Key") == "k-123");
}

TEST_CASE("a secret in the configuration is refused, told how to do it, and not repeated") {
    const std::string sentence =
        "a secret must not stand in the configuration; refer to it as {\"env\": \"NAME\"} or {\"file\": \"PATH\"}";
    CHECK(mistake(R"({"auth": {"bearer": "hush-hush"}})") == "auth.bearer: " + sentence);
    CHECK(mistake(R"({"auth": {"basic": {"user": "u", "password": "hush-hush"}}})") ==
          "auth.basic.password: " + sentence);
    CHECK(mistake(R"({"auth": {"header": {"name": "X-Api-Key", "value": "hush-hush"}}})") ==
          "auth.header.value: " + sentence);
    CHECK(mistake(R"({"headers": {"authorization": "Bearer hush-hush"}})") == "headers.authorization: " + sentence);
    for (const char* text :
         {R"({"auth": "hush-hush"})", R"({"auth": {"token": "hush-hush"}})", R"({"auth": {"bearer": ["hush-hush"]}})",
          R"({"auth": {"bearer": {"env": "hush-hush"}}})", R"({"auth": {"bearer": {"value": "hush-hush"}}})"}) {
        INFO(text);
        const std::string said = mistake(text);
        CHECK(said.starts_with("auth"));
        CHECK(said.find("hush") == std::string::npos);
    }
}

TEST_CASE("a secret that is not there is a mistake that names where it was looked for") {
    unsetenv("BREAKWATER_TEST_MISSING");
    CHECK(mistake(R"({"auth": {"bearer": {"env": "BREAKWATER_TEST_MISSING"}}})") ==
          "auth.bearer: the environment variable BREAKWATER_TEST_MISSING is not set");
    const Variable empty{"BREAKWATER_TEST_EMPTY", ""};
    CHECK(mistake(R"({"auth": {"bearer": {"env": "BREAKWATER_TEST_EMPTY"}}})") ==
          "auth.bearer: the environment variable BREAKWATER_TEST_EMPTY is empty");
    const std::string unread = " cannot be read, is empty or is larger than 64 KiB";
    CHECK(mistake(R"({"auth": {"bearer": {"file": "/does/not/exist"}}})") ==
          "auth.bearer: the file /does/not/exist" + unread);
    CHECK(mistake(R"({"auth": {"bearer": {"file": "/"}}})") == "auth.bearer: the file /" + unread);
    CHECK(mistake(R"({"auth": {"bearer": {"file": "/dev/zero"}}})") == "auth.bearer: the file /dev/zero" + unread);
    CHECK(mistake(R"({"auth": {"bearer": {}}})") == "auth.bearer: must have either \"env\" or \"file\"");
    CHECK(mistake(R"({"auth": {"basic": {"user": "u"}}})") == "auth.basic: must have \"password\"");
}

TEST_CASE("a secret that cannot stand in a header is refused before a client is made") {
    const Variable key{"BREAKWATER_TEST_KEY", "two\nlines"};
    CHECK(mistake(R"({"auth": {"bearer": {"env": "BREAKWATER_TEST_KEY"}}})") ==
          "auth: header Authorization: the value holds CR, LF, NUL or another control");
}

TEST_CASE("a configuration that is no object, hostile or broken is a mistake and no crash") {
    for (const char* text : {"null", "[]", "5", "\"text\"", "true", "[[]]"}) {
        CHECK(mistake(text).starts_with("the configuration: must be an object, got "));
    }
    CHECK(mistake_in(json(json::value_t::discarded)).starts_with("the configuration: must be an object"));
    CHECK(mistake_in(json::binary({1, 2})) == "the configuration: must be an object, got binary data");

    json deep = json::array();
    for (int i = 0; i < 100'000; ++i) {
        json outer = json::array();
        outer.push_back(std::move(deep));
        deep = std::move(outer);
    }
    json options = json::object();
    options["circuit_breaker"]["trip"] = std::move(deep);
    CHECK(mistake_in(options).starts_with("circuit_breaker.trip: must be"));

    const json broken_utf8 = {{"cache", {{"ttl", "\xff\xfe"}, {"lifetime", "\xff"}}}};
    CHECK(mistake_in(broken_utf8).starts_with("cache.ttl: must be a duration"));
    CHECK(mistake_in({{"retry", {{"backoff", {{"multiplier", std::numeric_limits<double>::quiet_NaN()}}}}}}) ==
          "retry.backoff.multiplier: must be 1 to 1000, got nan");
    const std::string long_key(100'000, 'k');
    CHECK(mistake_in({{long_key, 1}}).size() < 200);
    CHECK(mistake_in({{"forged\nline", 1}}) == "forged?line: unknown key");
}

TEST_CASE("the retry budget, every form of backoff and max_elapsed are read") {
    const auto options = bw::client_options_from_json(nlohmann::json::parse(R"({
        "retry": {"max_elapsed": "20s", "backoff": {"growth": "linear", "jitter": "around", "spread": 0.1}},
        "retry_budget": {"name": "orders", "ratio": 0.5, "floor_per_second": 7, "burst": 9}})"));
    REQUIRE(options);
    CHECK(options->retry.max_elapsed == 20s);
    CHECK(options->retry.backoff.growth == bw::Growth::linear);
    CHECK(options->retry.backoff.jitter == bw::Jitter::around);
    CHECK(options->retry.backoff.spread == 0.1);
    CHECK(options->retry_budget ==
          bw::RetryBudgetOptions{.name = "orders", .ratio = 0.5, .floor_per_second = 7, .burst = 9});
    const auto off = bw::client_options_from_json(nlohmann::json::parse(R"({"retry_budget": {"ratio": null}})"));
    REQUIRE(off);
    CHECK_FALSE(off->retry_budget.ratio);
}

TEST_CASE("mistakes in the retry budget and the backoff are named by their path") {
    CHECK(mistake(R"({"retry_budget": {"ratio": 2}})") == "retry_budget.ratio: must be 0.001 to 1, or empty, got 2");
    CHECK(mistake(R"({"retry_budget": {"ratoi": 0.2}})") ==
          R"(retry_budget.ratoi: unknown key; did you mean "ratio"?)");
    CHECK(mistake(R"({"retry": {"backoff": {"growth": "cubic"}}})") ==
          R"(retry.backoff.growth: must be one of "exponential", "linear", got "cubic")");
    CHECK(mistake(R"({"retry": {"max_elapsed": "0s"}})") == "retry.max_elapsed: must be 1ms to 24h, got 0s");
}
