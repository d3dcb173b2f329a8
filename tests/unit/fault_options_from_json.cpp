#include <breakwater/testing/fault_injection/from_json.hpp>

#include <catch_shim.hpp>

#include <chrono>
#include <string>
#include <string_view>
#include <variant>

namespace bw = breakwater;
namespace faults = breakwater::faults;
using namespace std::chrono_literals;
using nlohmann::json;

namespace {

/// What is said about wrong faults; "" if nothing.
std::string mistake(std::string_view text) {
    const auto options = bw::fault_options_from_json(json::parse(text));
    if (options) return "";
    CHECK(options.error().code() == bw::Errc::invalid_options);
    return std::string{options.error().detail()};
}

template <class Kind>
Kind delay_of(const bw::Fault& fault) {
    return std::get<Kind>(fault.delay.kind());
}
template <class Kind>
Kind then_of(const bw::Fault& fault) {
    return std::get<Kind>(fault.then.kind());
}

}  // namespace

TEST_CASE("every fault of a transport is read from a configuration") {
    const auto options = bw::fault_options_from_json(json::parse(R"({
        "seed": 7,
        "faults": [
            {"rate": 0.25, "from": "1min", "until": "5min", "delay": "50ms"},
            {"delay": {"uniform": {"least": "10ms", "most": "20ms"}}, "then": "pass_on"},
            {"delay": {"exponential": {"mean": "30ms"}}, "then": "reset"},
            {"delay": {"log_normal": {"median": "40ms", "sigma": 1.5}}, "then": "drop"}
        ],
        "script": [
            {},
            {"then": {"error": "tls_failed"}},
            {"then": {"status": 500}},
            {"then": {"status": {"status": 429, "retry_after": "2s", "headers": {"X-Why": "load"}, "body": "wait"}}},
            {"then": "truncate"},
            {"then": {"truncate": {"after": 100}}}
        ]})"));
    REQUIRE(options);
    CHECK(options->seed == 7U);
    REQUIRE(options->faults.size() == 4);
    const auto& all = options->faults;
    CHECK(all[0].rate == 0.25);
    CHECK(all[0].from == 1min);
    CHECK(all[0].until == bw::Duration{5min});
    CHECK(delay_of<bw::Duration>(all[0]) == 50ms);
    CHECK_FALSE(is_end(all[0].then));
    CHECK(delay_of<faults::Uniform>(all[1]).least == 10ms);
    CHECK(delay_of<faults::Uniform>(all[1]).most == 20ms);
    CHECK_FALSE(is_end(all[1].then));
    CHECK(delay_of<faults::Exponential>(all[2]).mean == 30ms);
    (void)then_of<faults::Reset>(all[2]);
    CHECK(delay_of<faults::LogNormal>(all[3]).median == 40ms);
    CHECK(delay_of<faults::LogNormal>(all[3]).sigma == 1.5);
    (void)then_of<faults::Drop>(all[3]);
    REQUIRE(options->script.size() == 6);
    const auto& script = options->script;
    CHECK(script[0].rate == 1);
    CHECK(then_of<faults::Error>(script[1]).code == bw::Errc::tls_failed);
    CHECK(then_of<faults::Status>(script[2]).status == 500);
    const auto status = then_of<faults::Status>(script[3]);
    CHECK(status.status == 429);
    CHECK(status.retry_after == bw::Duration{2s});
    CHECK(status.headers.get("x-why") == "load");
    CHECK(status.body == "wait");
    CHECK(then_of<faults::Truncate>(script[4]).after == 0);
    CHECK(then_of<faults::Truncate>(script[5]).after == 100);
}

TEST_CASE("every fault of a store is read from a configuration") {
    const auto options = bw::store_fault_options_from_json(json::parse(
        R"({"faults": [{"delay": "1ms"}, {"from": "5s", "then": "no_answer"}], "script": [{"then": "error"}],
                        "seed": 3})"));
    REQUIRE(options);
    REQUIRE(options->faults.size() == 2);
    CHECK(options->faults[0].then == faults::StoreThen::pass_on);
    CHECK(options->faults[1].from == 5s);
    CHECK(options->faults[1].then == faults::StoreThen::no_answer);
    CHECK(options->script.at(0).then == faults::StoreThen::error);
    CHECK(options->seed == 3U);
    CHECK(bw::store_fault_options_from_json(json::parse(R"({"faults": [{"then": "reset"}]})")).error().detail() ==
          R"(faults[0].then: must be one of "pass_on", "no_answer", "error", got "reset")");
}

TEST_CASE("an empty configuration has no faults") {
    const auto options = bw::fault_options_from_json(json::object());
    REQUIRE(options);
    CHECK(options->faults.empty());
    CHECK(options->script.empty());
    CHECK_FALSE(options->seed);
}

TEST_CASE("mistakes in faults are named by their path") {
    CHECK(mistake("7") == "the configuration: must be an object, got a number");
    CHECK(mistake(R"({"fault": []})") == R"(fault: unknown key; did you mean "faults"?)");
    CHECK(mistake(R"({"faults": {}})") == "faults: must be a list of faults, got an object");
    CHECK(mistake(R"({"faults": [{}, 1]})") == "faults[1]: must be an object, got a number");
    CHECK(mistake(R"({"faults": [{"rate": 2}]})") == "faults[0].rate: must be 0 to 1, got 2");
    CHECK(mistake(R"({"faults": [{"rate": "often"}]})") == "faults[0].rate: must be a number, got a string");
    CHECK(mistake(R"({"script": [{"delay": 5}]})") ==
          R"(script[0].delay: must be a duration with its unit, such as "250ms" or "2min", got 5)");
    CHECK(mistake(R"({"script": [{"delay": {}}]})") ==
          R"(script[0].delay: must be a duration, {"uniform": {…}}, {"exponential": {…}} or {"log_normal": {…}})");
    CHECK(mistake(R"({"script": [{"delay": {"lognormal": {}}}]})") ==
          R"(script[0].delay.lognormal: unknown key; did you mean "log_normal"?)");
    CHECK(mistake(R"({"faults": [{"delay": {"exponential": {"mean": "0s"}}}]})") ==
          "faults[0].delay.mean: must be 1us to 24h, got 0s");
    CHECK(mistake(R"({"faults": [{"then": "explode"}]})") ==
          R"(faults[0].then: must be one of "pass_on", "reset", "truncate", "drop", got "explode")");
    CHECK(
        mistake(R"({"faults": [{"then": {"error": "connect_faild"}}]})") ==
        R"(faults[0].then.error: must be the name of an error of a transport, such as "connect_failed", got "connect_faild")");
    CHECK(
        mistake(R"({"faults": [{"then": {"error": "circuit_open"}}]})") ==
        R"(faults[0].then.error: must be the name of an error of a transport, such as "connect_failed", got "circuit_open")");
    CHECK(mistake(R"({"faults": [{"then": {"status": 200}}]})") ==
          "faults[0].then.status: must be 400 to 599, got 200");
    CHECK(mistake(R"({"faults": [{"then": {"status": "teapot"}}]})") ==
          "faults[0].then.status: must be an integer, got a string");
    CHECK(mistake(R"({"faults": [{"then": {"status": {"headers": {"X-A": 1}}}}]})") ==
          "faults[0].then.status.headers.X-A: must be a string, got a number");
    CHECK(mistake(R"({"faults": [{"then": {"status": {}, "error": "tls_failed"}}]})") ==
          R"(faults[0].then: must be a word, {"error": …}, {"status": …} or {"truncate": {…}})");
    CHECK(mistake(R"({"faults": [{"rate": -1}], "seed": -1})") ==
          "faults[0].rate: must be 0 to 1, got -1; seed: must be 0 to 18446744073709551615, got -1");
}
