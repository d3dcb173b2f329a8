#include <breakwater/circuit_breaker.hpp>
#include <breakwater/fallback.hpp>
#include <breakwater/pipeline.hpp>
#include <breakwater/retry.hpp>
#include <breakwater/testing/manual_clock.hpp>
#include <catch_shim.hpp>

#include <memory>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <vector>

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::Errc;
using bw::Error;

namespace {

Error status_error(int status) { return Error{Errc::http_status}.set_status(status); }

auto failing(Error error) {
    return [error]() -> bw::Result<int> { return bw::fail(error); };
}

/// Whether the default fallback answers this error.
bool answers(const Error& error, bw::FallbackOptions options = {}) {
    return bw::Pipeline{bw::Fallback{7, std::move(options)}}.run(failing(error)) == 7;
}

}  // namespace

TEST_CASE("a fallback answers a failed call with its value and leaves a good one alone") {
    const bw::Pipeline guard{bw::Fallback{7}};
    CHECK(guard.run(failing(status_error(503))) == 7);
    CHECK(guard.run([]() -> int { throw std::runtime_error{"broken"}; }) == 7);
    CHECK(guard.run([] { return 1; }) == 1);
}

TEST_CASE("a fallback may be a function of nothing or of the error, and may return a result") {
    CHECK(bw::Pipeline{bw::Fallback{[] { return 8; }}}.run(failing(status_error(503))) == 8);
    CHECK(bw::Pipeline{bw::Fallback{[](const Error& e) { return *e.status(); }}}.run(failing(status_error(503))) ==
          503);
    CHECK(bw::Pipeline{bw::Fallback{[]() -> bw::Result<int> { return 9; }}}.run(failing(status_error(503))) == 9);
    const bw::Pipeline other_error{bw::Fallback{[]() -> bw::Result<int> { return bw::fail(Errc::decode_failed); }}};
    CHECK(other_error.run(failing(status_error(503))).error().code() == Errc::decode_failed);
}

TEST_CASE("a fallback converts to the callable's type") {
    CHECK(bw::Pipeline{bw::Fallback{"nothing"}}.run([]() -> std::string { throw 1; }) == "nothing");
    int called = 0;
    const bw::Pipeline guard{bw::Fallback{[&] { ++called; }}};
    CHECK(guard.run([] { throw 1; }).has_value());
    CHECK(called == 1);
}

TEST_CASE("by default refusals and failures of the service are answered") {
    for (const Errc code :
         {Errc::circuit_open, Errc::rate_limited, Errc::bulkhead_full, Errc::budget_exhausted, Errc::store_unavailable,
          Errc::deadline_too_near, Errc::throttled, Errc::deadline_exceeded, Errc::resolve_failed, Errc::connect_failed,
          Errc::attempt_timeout, Errc::receive_failed, Errc::exception, Errc::failure}) {
        CAPTURE(to_string(code));
        CHECK(answers(Error{code}));
    }
    for (const int status : {408, 429, 500, 501, 503, 504}) CHECK(answers(status_error(status)));
}

TEST_CASE("by default a cancelled call, a mistake, or an answer that the caller erred is left alone") {
    for (const Errc code :
         {Errc::cancelled, Errc::invalid_options, Errc::invalid_request, Errc::would_deadlock, Errc::exceeds_burst}) {
        CAPTURE(to_string(code));
        CHECK_FALSE(answers(Error{code}));
    }
    for (const int status : {400, 401, 403, 404, 409, 422}) CHECK_FALSE(answers(status_error(status)));
    CHECK_FALSE(answers(Error{Errc::exception}.set_status(404)));
}

TEST_CASE("when_open answers only what the circuit refused, at once or after attempts") {
    CHECK(answers(Error{Errc::circuit_open}, {.on = bw::when_open}));
    CHECK(answers(status_error(503).set_stopped_by(Errc::circuit_open), {.on = bw::when_open}));
    CHECK_FALSE(answers(status_error(503), {.on = bw::when_open}));
    CHECK_FALSE(answers(Error{Errc::rate_limited}, {.on = bw::when_open}));
}

TEST_CASE("a rule that throws answers nothing, an empty one is the default") {
    CHECK_FALSE(answers(status_error(503), {.on = [](const Error&) -> bool { throw std::runtime_error{"broken"}; }}));
    CHECK(answers(status_error(503), {.on = nullptr}));
    CHECK_FALSE(answers(status_error(404), {.on = nullptr}));
}

TEST_CASE("a fallback that throws leaves the error that called for it") {
    const bw::Pipeline guard{bw::Fallback{[]() -> int { throw std::runtime_error{"no cache either"}; }}};
    CHECK(guard.run(failing(status_error(503))).error().status() == 503);
}

TEST_CASE("retries come first, then the fallback") {
    const bw::ManualClock clock;
    int calls = 0;
    const bw::Pipeline guard{bw::UseClock{clock}, bw::Fallback{7}, bw::Retry{{.max_retries = 2}}};
    CHECK(guard.run([&]() -> bw::Result<int> {
        ++calls;
        return bw::fail(status_error(503));
    }) == 7);
    CHECK(calls == 3);
}

TEST_CASE("a fallback does not hide failures from the breaker inside it") {
    const bw::CircuitBreaker breaker{{.trip = bw::ConsecutiveFailures{1}}};
    const bw::Pipeline guard{bw::Fallback{7, {.on = bw::when_open}}, breaker};
    CHECK(guard.run(failing(status_error(503))).error().status() == 503);
    CHECK(breaker.state() == bw::CircuitState::open);
    CHECK(guard.run(failing(status_error(503))) == 7);
}

TEST_CASE("a call's own fallback replaces the pipeline's") {
    const bw::Pipeline guard{bw::Fallback{7}};
    CHECK(guard.run(failing(status_error(503)), {.fallback = [](const Error&) { return 8; }}) == 8);
    CHECK(guard.run(failing(status_error(404)), {.fallback = [](const Error&) { return 8; }}).error().status() == 404);
    CHECK(guard.run([] { return 1; }, {.fallback = [](const Error&) { return 8; }}) == 1);
    CHECK(guard.run(failing(status_error(503)), {.fallback = [](const Error&) -> bw::Result<int> { throw 1; }})
              .error()
              .status() == 503);
    CHECK(bw::Pipeline{bw::Retry{{.max_retries = 0}}}.run(failing(status_error(503)),
                                                          {.fallback = [](const Error&) { return 8; }}) == 8);
}

TEST_CASE("a cancelled call gets no fallback, whatever failed before") {
    std::stop_source source;
    const bw::Pipeline guard{bw::Fallback{7}, bw::Retry{{.max_retries = 3}}};
    const auto result = guard.run(
        [&]() -> bw::Result<int> {
            source.request_stop();
            return bw::fail(status_error(503));
        },
        {.stop = source.get_token(), .fallback = [](const Error&) { return 8; }});
    CHECK(result.error().code() == Errc::cancelled);
}

TEST_CASE("an answer by fallback is told, with the error it replaces") {
    std::vector<bw::Event> seen;
    const bw::Pipeline guard{bw::Observe{[&](const bw::Event& event) { seen.push_back(event); }}, bw::Fallback{7}};
    CHECK(guard.run(failing(status_error(503))) == 7);
    REQUIRE(seen.size() >= 2);
    const bw::Event& told = seen[seen.size() - 2];  // the last is the call's end
    CHECK(told.kind == bw::EventKind::fallback_used);
    CHECK(told.code == Errc::http_status);
}
