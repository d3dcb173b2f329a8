#include <breakwater/circuit_breaker.hpp>
#include <breakwater/deadline.hpp>
#include <breakwater/pipeline.hpp>
#include <breakwater/rate_limiter.hpp>
#include <breakwater/retry.hpp>
#include <breakwater/status_of.hpp>
#include <breakwater/testing/manual_clock.hpp>
#include <catch_shim.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::Errc;
using bw::Error;
using bw::Sent;

namespace {

using Delays = std::vector<bw::Duration>;

/// 100 ms, 200 ms, 400 ms … without jitter.
constexpr bw::Backoff<> plain{.base = 100ms, .multiplier = 2.0, .cap = 1s, .jitter = bw::Jitter::none};

Error status_error(int status, std::optional<bw::Duration> retry_after = {}) {
    return Error{Errc::http_status}.set_status(status).set_retry_after(retry_after);
}

/// Counts its calls; fails with each of the errors in turn, then succeeds with the number of the call.
struct Script {
    std::vector<Error> errors;
    int calls = 0;

    bw::Result<int> operator()() {
        const auto index = static_cast<std::size_t>(calls++);
        if (index < errors.size()) return bw::fail(errors[index]);
        return calls;
    }
};

/// Retries on a clock that notes the delays.
template <class... Inner>
auto guarded(const bw::ManualClock& clock, bw::RetryOptions<> options, Inner... inner) {
    return bw::Pipeline{bw::UseClock{clock}, bw::Retry{std::move(options)}, std::move(inner)...};
}

/// How many attempts a call that always fails with `error` makes under `rule`.
int attempts(const bw::RetryRule& rule, const Error& error) {
    const bw::ManualClock clock;
    Script script{std::vector<Error>(10, error)};
    CHECK_FALSE(guarded(clock, {.max_retries = 2, .backoff = plain, .on = rule}).run(script));
    return script.calls;
}
template <class F>
int attempts_of_throwing(const bw::RetryRule& rule, F thrower) {
    const bw::ManualClock clock;
    int calls = 0;
    const auto result = guarded(clock, {.max_retries = 2, .backoff = plain, .on = rule}).run([&]() -> int {
        ++calls;
        thrower();
        return 0;
    });
    CHECK_FALSE(result);
    return calls;
}

std::string refusal(const bw::RetryOptions<>& options) {
    const auto result = validate(options);
    return result ? "accepted" : result.error().message();
}

struct SupplierError : std::runtime_error {
    using std::runtime_error::runtime_error;
};
struct Throttled : SupplierError {
    using SupplierError::SupplierError;
};
struct Numbered {
    int number;
};

}  // namespace

TEST_CASE("a call that succeeds is made once, without a wait") {
    const bw::ManualClock clock;
    Script script{};
    CHECK(guarded(clock, {}).run(script) == 1);
    CHECK(script.calls == 1);
    CHECK(clock.waits().empty());
}

TEST_CASE("failed attempts are made again after growing delays, until one succeeds") {
    const bw::ManualClock clock;
    Script script{{status_error(500), status_error(503), Error{Errc::receive_failed}}};
    CHECK(guarded(clock, {.max_retries = 5, .backoff = plain}).run(script) == 4);
    CHECK(clock.waits() == Delays{100ms, 200ms, 400ms});
}

TEST_CASE("max_retries counts retries: the call ends with the last real error") {
    const bw::ManualClock clock;
    Script script{{status_error(500), status_error(502), status_error(503), status_error(504)}};
    const auto result = guarded(clock, {.max_retries = 2, .backoff = plain}).run(script);
    CHECK(result.error().status() == 503);
    CHECK(result.error().stopped_by() == std::nullopt);
    CHECK(script.calls == 3);
    CHECK(clock.waits() == Delays{100ms, 200ms});
}

TEST_CASE("no retries means one attempt") {
    const bw::ManualClock clock;
    Script script{{status_error(500)}};
    CHECK(guarded(clock, {.max_retries = 0}).run(script).error().status() == 500);
    CHECK(script.calls == 1);
}

TEST_CASE("the default is three retries with full jitter below 200 ms, 400 ms and 800 ms") {
    const bw::ManualClock clock;
    Script script{std::vector<Error>(10, status_error(500))};
    CHECK_FALSE(guarded(clock, {}).run(script));
    CHECK(script.calls == 4);
    const Delays waits = clock.waits();
    REQUIRE(waits.size() <= 3);  // a delay of zero is no wait
    bw::Duration sum{};
    for (const auto wait : waits) sum += wait;
    CHECK(sum <= 1400ms);
}

TEST_CASE("the same seed gives the same delays, another seed others") {
    const auto delays = [](std::uint64_t seed) {
        const bw::ManualClock clock;
        Script script{std::vector<Error>(10, status_error(500))};
        CHECK_FALSE(guarded(clock, {.max_retries = 8, .seed = seed}).run(script));
        return clock.waits();
    };
    CHECK(delays(1) == delays(1));
    CHECK(delays(1) != delays(2));
}

TEST_CASE("decorrelated jitter grows from the delay before, not from Retry-After") {
    const bw::ManualClock clock;
    Script script{std::vector<Error>(10, status_error(503, 60s))};
    CHECK_FALSE(guarded(clock, {.max_retries = 5,
                                .backoff = {.base = 10ms, .cap = 10s, .jitter = bw::Jitter::decorrelated},
                                .seed = 7})
                    .run(script));
    bw::Duration most = 30ms;
    for (const auto wait : clock.waits()) {
        CHECK(wait >= 60s + 10ms);
        CHECK(wait <= 60s + most);
        most = 3 * (wait - 60s);
    }
    REQUIRE(clock.waits().size() == 5);
    CHECK(std::ranges::max(clock.waits()) > 60s + 30ms);
}

TEST_CASE("by default what may pass by itself is retried, and nothing else") {
    const bw::RetryRule none{};
    for (const int status : {408, 429, 500, 502, 503, 504}) {
        CAPTURE(status);
        CHECK(attempts(none, status_error(status)) == 3);
    }
    for (const int status : {400, 401, 403, 404, 409, 422, 501, 505}) {
        CAPTURE(status);
        CHECK(attempts(none, status_error(status)) == 1);
    }
    for (const Errc code :
         {Errc::resolve_failed, Errc::connect_failed, Errc::connect_timeout, Errc::tls_failed, Errc::attempt_timeout,
          Errc::send_failed, Errc::receive_failed, Errc::empty_answer, Errc::truncated, Errc::protocol_error,
          Errc::digest_mismatch, Errc::transport_failed, Errc::failure}) {
        CAPTURE(to_string(code));
        CHECK(attempts(none, Error{code}) == 3);
    }
    for (const Errc code :
         {Errc::tls_untrusted, Errc::too_large, Errc::bad_encoding, Errc::redirect_refused, Errc::too_many_redirects,
          Errc::decode_failed, Errc::cancelled, Errc::deadline_exceeded, Errc::invalid_options, Errc::invalid_request,
          Errc::circuit_open, Errc::rate_limited, Errc::exceeds_burst, Errc::bulkhead_full, Errc::budget_exhausted,
          Errc::deadline_too_near, Errc::throttled}) {
        CAPTURE(to_string(code));
        CHECK(attempts(none, Error{code}) == 1);
    }
    CHECK(attempts_of_throwing(none, [] { throw std::runtime_error{"broken"}; }) == 3);
    CHECK(attempts_of_throwing(none, [] { throw 42; }) == 3);
}

TEST_CASE("no rule makes a refusal, a cancelled call or a mistake worth a retry") {
    const bw::RetryRule always = [](const Error&) { return true; };
    CHECK(attempts(always, status_error(404)) == 3);
    for (const Errc code : {Errc::circuit_open, Errc::rate_limited, Errc::cancelled, Errc::deadline_exceeded,
                            Errc::invalid_options, Errc::invalid_request})
        CHECK(attempts(always, Error{code}) == 1);
}

TEST_CASE("rules by code, status and exception type retry exactly these") {
    const bw::RetryRule codes = bw::on_codes({Errc::truncated, Errc::decode_failed});
    CHECK(attempts(codes, Error{Errc::truncated}) == 3);
    CHECK(attempts(codes, Error{Errc::decode_failed}) == 3);
    CHECK(attempts(codes, Error{Errc::receive_failed}) == 1);

    const bw::RetryRule statuses = bw::on_statuses({404, 503});
    CHECK(attempts(statuses, status_error(404)) == 3);
    CHECK(attempts(statuses, status_error(500)) == 1);
    CHECK(attempts(statuses, Error{Errc::receive_failed}) == 1);

    const bw::RetryRule types = bw::on_exceptions<SupplierError, Numbered>();
    CHECK(attempts_of_throwing(types, [] { throw SupplierError{"down"}; }) == 3);
    CHECK(attempts_of_throwing(types, [] { throw Throttled{"too fast"}; }) == 3);  // derived
    CHECK(attempts_of_throwing(types, [] { throw Numbered{7}; }) == 3);
    CHECK(attempts_of_throwing(types, [] { throw std::runtime_error{"other"}; }) == 1);
    CHECK(attempts_of_throwing(types, [] { throw 7; }) == 1);
    CHECK(attempts(types, Error{Errc::receive_failed}) == 1);

    const bw::RetryRule odd = bw::on_exception<Numbered>([](const Numbered& n) { return n.number % 2 == 1; });
    CHECK(attempts_of_throwing(odd, [] { throw Numbered{7}; }) == 3);
    CHECK(attempts_of_throwing(odd, [] { throw Numbered{8}; }) == 1);
}

TEST_CASE("rules join with or, and the empty rule joins as the default") {
    const bw::RetryRule either = bw::on_statuses({404}) || bw::on_exceptions<SupplierError>();
    CHECK(attempts(either, status_error(404)) == 3);
    CHECK(attempts_of_throwing(either, [] { throw Throttled{"too fast"}; }) == 3);
    CHECK(attempts(either, status_error(503)) == 1);
    const bw::RetryRule wider = bw::RetryRule{} || bw::on_statuses({404});
    CHECK(attempts(wider, status_error(503)) == 3);
    CHECK(attempts(wider, status_error(404)) == 3);
    CHECK(attempts(wider, status_error(403)) == 1);
}

TEST_CASE("a rule that throws means no retry") {
    CHECK(attempts([](const Error&) -> bool { throw std::runtime_error{"broken rule"}; }, status_error(503)) == 1);
    CHECK(attempts_of_throwing(
              bw::on_exception<Numbered>([](const Numbered&) -> bool { throw std::runtime_error{"broken rule"}; }),
              [] { throw Numbered{1}; }) == 1);
}

TEST_CASE("a value that the result rule calls bad is retried, and returned when retries run out") {
    const bw::ManualClock clock;
    const auto is_low = bw::retry_if([](const int& value) { return value < 3; });
    const bw::Pipeline guard{bw::UseClock{clock}, bw::Retry{{.max_retries = 3, .backoff = plain}, is_low}};
    int value = 0;
    CHECK(guard.run([&] { return ++value; }) == 3);
    CHECK(clock.waits() == Delays{100ms, 200ms});
    value = -10;
    CHECK(guard.run([&] { return ++value; }) == -6);
    CHECK(guard.run([] { return std::string{"not an int"}; }) == "not an int");  // the rule has no say
}

TEST_CASE("bad values and errors share the retries") {
    const bw::ManualClock clock;
    const bw::Pipeline guard{bw::UseClock{clock}, bw::Retry{{.max_retries = 3, .backoff = plain},
                                                            bw::retry_if([](int value) { return value < 0; })}};
    int calls = 0;
    const auto result = guard.run([&]() -> bw::Result<int> {
        if (++calls % 2 == 1) return -calls;
        return bw::fail(status_error(500 + calls));
    });
    CHECK(calls == 4);
    REQUIRE_FALSE(result);
    CHECK(result.error().status() == 504);
}

TEST_CASE("a result rule that throws finds nothing wrong") {
    const bw::ManualClock clock;
    const bw::Pipeline guard{bw::UseClock{clock}, bw::Retry{{}, bw::retry_if([](int) -> bool { throw 1; })}};
    int calls = 0;
    CHECK(guard.run([&] { return ++calls; }) == 1);
    CHECK(calls == 1);
}

TEST_CASE("Retry-After comes on top of the delay, up to its cap") {
    const bw::ManualClock clock;
    Script script{{status_error(503, 2s), status_error(429, 1h), status_error(503)}};
    CHECK(guarded(clock, {.max_retries = 3, .backoff = plain, .max_retry_after = 5min}).run(script) == 4);
    CHECK(clock.waits() == Delays{2s + 100ms, 5min + 200ms, 400ms});
}

TEST_CASE("a cap of zero ignores Retry-After") {
    const bw::ManualClock clock;
    Script script{{status_error(503, 2s)}};
    CHECK(guarded(clock, {.backoff = plain, .max_retry_after = 0s}).run(script) == 2);
    CHECK(clock.waits() == Delays{100ms});
}

TEST_CASE("a delay that would pass the deadline ends the call at once, with the last real error") {
    const bw::ManualClock clock;
    Script script{{status_error(503), status_error(503, 10s), status_error(503)}};
    const bw::Pipeline guard{bw::UseClock{clock}, bw::Deadline{5s}, bw::Retry{{.backoff = plain}}};
    const auto result = guard.run(script);
    CHECK(result.error().status() == 503);
    CHECK(result.error().stopped_by() == Errc::deadline_exceeded);
    CHECK(result.error().retry_after() == 10s);
    CHECK(script.calls == 2);
    CHECK(clock.waits() == Delays{100ms});
}

TEST_CASE("a delay that would end exactly at the deadline is not begun either") {
    const bw::ManualClock clock;
    Script script{std::vector<Error>(3, status_error(503))};
    const bw::Pipeline guard{bw::UseClock{clock}, bw::Deadline{300ms}, bw::Retry{{.backoff = plain}}};
    CHECK(guard.run(script).error().stopped_by() == Errc::deadline_exceeded);
    CHECK(clock.waits() == Delays{100ms});
    CHECK(script.calls == 2);
}

TEST_CASE("an attempt that the deadline cuts leaves the real error before it") {
    const bw::ManualClock clock;
    Script script{{status_error(503), Error{Errc::deadline_exceeded}}};
    const auto result = guarded(clock, {.backoff = plain}).run(script);
    CHECK(result.error().status() == 503);
    CHECK(result.error().stopped_by() == Errc::deadline_exceeded);
    CHECK(script.calls == 2);

    Script at_once{{Error{Errc::deadline_exceeded}}};
    CHECK(guarded(clock, {}).run(at_once).error().code() == Errc::deadline_exceeded);
}

TEST_CASE("a request that may not be sent twice is retried only if it never left") {
    const bw::ManualClock clock;
    const auto guard = guarded(clock, {.backoff = plain});
    Script maybe_sent{{Error{Errc::receive_failed}}};
    CHECK(guard.run(maybe_sent, {.resendable = false}).error().code() == Errc::receive_failed);
    CHECK(maybe_sent.calls == 1);

    Script never_sent{{Error{Errc::connect_failed}}};
    CHECK(guard.run(never_sent, {.resendable = false}) == 2);

    Script transport_knows{{Error{Errc::send_failed}.set_sent(Sent::no)}};
    CHECK(guard.run(transport_knows, {.resendable = false}) == 2);

    Script answered{{status_error(503)}};
    CHECK(guard.run(answered, {.resendable = false}).error().status() == 503);
    CHECK(answered.calls == 1);
}

TEST_CASE("a bad value of a request that may not be sent twice is not asked for again") {
    const bw::ManualClock clock;
    const bw::Pipeline guard{bw::UseClock{clock},
                             bw::Retry{{.backoff = plain}, bw::retry_if([](int value) { return value < 0; })}};
    int calls = 0;
    CHECK(guard.run([&] { return -++calls; }, {.resendable = false}) == -1);
    CHECK(calls == 1);
}

TEST_CASE("a refusal ends the loop with the last real error and the refuser") {
    const bw::ManualClock clock;
    const bw::MemoryStore store{clock};
    const bw::CircuitBreaker breaker{
        bw::CircuitBreakerOptions<>{.name = "ledger", .trip = bw::ConsecutiveFailures{2}, .recovery_timeout = 30s},
        store};
    Script script{std::vector<Error>(10, status_error(500))};
    const bw::Pipeline guard{bw::Retry{{.max_retries = 9, .backoff = plain}}, breaker};
    const auto result = guard.run(script);
    CHECK(script.calls == 2);
    CHECK(result.error().status() == 500);
    CHECK(result.error().stopped_by() == Errc::circuit_open);
    CHECK(result.error().is_refusal(Errc::circuit_open));
    CHECK(result.error().retry_after() == 30s - 200ms);

    const auto refused = guard.run(script);
    CHECK(refused.error().code() == Errc::circuit_open);  // no attempt was made: the refusal itself
    CHECK(refused.error().stopped_by() == std::nullopt);
    CHECK(script.calls == 2);
}

TEST_CASE("a stop request during a delay ends the call as cancelled, and the real error is told") {
    const bw::ManualClock clock{bw::ManualClock::Mode::blocking};
    std::stop_source source;
    Script script{std::vector<Error>(10, status_error(500))};
    const auto guard = guarded(clock, {.backoff = plain});
    bw::Result<int> result;
    {
        const std::jthread caller{[&] { result = guard.run(script, {.stop = source.get_token()}); }};
        clock.await_blocked();
        source.request_stop();
    }
    CHECK(result.error().code() == Errc::cancelled);
    CHECK(script.calls == 1);
    CHECK_THAT(result.error().message(), Catch::Matchers::ContainsSubstring("status 500"));
}

TEST_CASE("a stop request during an attempt lets no other attempt begin") {
    const bw::ManualClock clock;
    std::stop_source source;
    int calls = 0;
    const auto result = guarded(clock, {.backoff = plain})
                            .run(
                                [&]() -> bw::Result<int> {
                                    ++calls;
                                    source.request_stop();
                                    return bw::fail(status_error(503));
                                },
                                {.stop = source.get_token()});
    CHECK(calls == 1);
    CHECK(result.error().code() == Errc::cancelled);
}

TEST_CASE("each retry is told with its delay and its reason before it is waited for") {
    const bw::ManualClock clock;
    struct Seen {
        unsigned attempt;
        unsigned max_attempts;
        std::optional<Errc> code;
        std::optional<int> status;
        std::optional<bw::Duration> delay;
        std::size_t waits;
    };
    std::vector<Seen> seen;
    const bw::Pipeline guard{bw::UseClock{clock}, bw::Observe{[&](const bw::Event& event) {
                                 if (event.kind == bw::EventKind::retry_scheduled)
                                     seen.push_back({event.attempt, event.max_attempts, event.code, event.status,
                                                     event.delay, clock.waits().size()});
                             }},
                             bw::Retry{{.max_retries = 2, .backoff = plain}}};
    Script script{{status_error(503), Error{Errc::truncated}, status_error(500)}};
    CHECK_FALSE(guard.run(script));
    REQUIRE(seen.size() == 2);
    CHECK(seen[0].attempt == 1);
    CHECK(seen[0].max_attempts == 3);
    CHECK(seen[0].code == Errc::http_status);
    CHECK(seen[0].status == 503);
    CHECK(seen[0].delay == 100ms);
    CHECK(seen[0].waits == 0);
    CHECK(seen[1].attempt == 2);
    CHECK(seen[1].code == Errc::truncated);
    CHECK(seen[1].status == std::nullopt);
    CHECK(seen[1].waits == 1);
}

TEST_CASE("the error tells how many attempts were made") {
    const bw::ManualClock clock;
    Script script{std::vector<Error>(10, status_error(500))};
    CHECK(guarded(clock, {.max_retries = 2, .backoff = plain}).run(script).error().attempts() == 3);
    Script final_error{{status_error(404)}};
    CHECK(guarded(clock, {}).run(final_error).error().attempts() == 1);

    const bw::MemoryStore store{clock};
    const bw::CircuitBreaker breaker{bw::CircuitBreakerOptions<>{.trip = bw::ConsecutiveFailures{2}}, store};
    Script broken{std::vector<Error>(10, status_error(500))};
    const auto guard = guarded(clock, {.backoff = plain}, breaker);
    CHECK(guard.run(broken).error().attempts() == 2);
    CHECK(guard.run(broken).error().attempts() == 0);
}

TEST_CASE("void calls are retried too") {
    const bw::ManualClock clock;
    int calls = 0;
    const auto result = guarded(clock, {.backoff = plain}).run([&] {
        if (++calls < 3) throw std::runtime_error{"broken"};
    });
    CHECK(result.has_value());
    CHECK(calls == 3);
}

TEST_CASE("a user's exception is kept through all retries") {
    const bw::ManualClock clock;
    auto result =
        guarded(clock, {.max_retries = 1, .backoff = plain}).run([]() -> int { throw Throttled{"too fast"}; });
    CHECK_THROWS_AS(bw::value_or_throw(std::move(result)), Throttled);
}

TEST_CASE("each call has retries of its own, whatever calls came before") {
    const bw::ManualClock clock;
    const auto guard = guarded(clock, {.max_retries = 2, .backoff = plain});
    for (int i = 0; i < 3; ++i) {
        Script script{std::vector<Error>(10, status_error(500))};
        CHECK_FALSE(guard.run(script));
        CHECK(script.calls == 3);
    }
    CHECK(clock.waits() == Delays{100ms, 200ms, 100ms, 200ms, 100ms, 200ms});
}

TEST_CASE("mistaken retry options are named by their path, legal range and value") {
    CHECK(refusal({}) == "accepted");
    CHECK(refusal({.max_retries = 1'000'000}) == "accepted");
    CHECK(refusal({.max_retries = 1'000'001}) == "retry.max_retries: must be 0 to 1000000, got 1000001");
    CHECK(refusal({.max_retry_after = -1s}) == "retry.max_retry_after: must be 0s to 24h, got -1s");
    CHECK(refusal({.max_retry_after = 25h}) == "retry.max_retry_after: must be 0s to 24h, got 25h");
    CHECK(refusal({.max_retry_after = 24h}) == "accepted");
    CHECK(refusal({.backoff = {.base = 0s}}) == "retry.backoff.base: must be > 0s, got 0s");
    CHECK(validate(bw::RetryOptions<>{.backoff = {.base = -1s}}, "").error().message() ==
          "backoff.base: must be > 0s, got -1s");
    try {
        const bw::Retry retry{{.max_retry_after = -1s}};
        FAIL("accepted");
    } catch (const bw::Exception& e) {
        CHECK(e.error().code() == Errc::invalid_options);
        CHECK(std::string{e.what()} == "retry.max_retry_after: must be 0s to 24h, got -1s");
    }
}

TEST_CASE("a static choice of the jitter behaves as the run-time one") {
    const bw::ManualClock clock;
    Script script{{status_error(500), status_error(500)}};
    const bw::Retry<bw::NoJitter> retry{{.backoff = {.base = 100ms, .cap = 1s}}};
    CHECK(bw::Pipeline{bw::UseClock{clock}, retry}.run(script) == 3);
    CHECK(clock.waits() == Delays{100ms, 200ms});
}

TEST_CASE("a delay function gets the number of the retry and the delay before") {
    const bw::ManualClock clock;
    Script script{std::vector<Error>(3, status_error(500))};
    std::vector<std::pair<std::uint32_t, bw::Duration>> asked;
    const auto delay = [&](std::uint32_t retry, bw::Duration previous) {
        asked.emplace_back(retry, previous);
        return previous * 3 + 1s;
    };
    CHECK(guarded(clock, {.max_retries = 5, .backoff = plain, .delay = delay}).run(script) == 4);
    CHECK(clock.waits() == Delays{1s, 4s, 13s});
    CHECK(asked == std::vector<std::pair<std::uint32_t, bw::Duration>>{{1, 0s}, {2, 1s}, {3, 4s}});
}

TEST_CASE("a delay function that throws, goes below zero or beyond a day does no harm") {
    const auto waited = [](auto delay) {
        const bw::ManualClock clock;
        Script script{{status_error(500), status_error(500)}};
        CHECK(guarded(clock, {.max_retries = 5, .backoff = plain, .delay = delay}).run(script) == 3);
        return clock.waits();
    };
    CHECK(waited([](std::uint32_t, bw::Duration) -> bw::Duration { throw std::runtime_error{"no"}; }) ==
          Delays{100ms, 200ms});
    CHECK(waited([](std::uint32_t, bw::Duration) -> bw::Duration { return -5s; }).size() == 0);
    CHECK(waited([](std::uint32_t, bw::Duration) { return bw::Duration::max(); }) == Delays{24h, 24h});
}

TEST_CASE("no retry begins later than max_elapsed after the call has begun") {
    const bw::ManualClock clock;
    int calls = 0;
    const auto guard = guarded(clock, {.max_retries = 9, .backoff = plain, .max_elapsed = 1s});
    const auto result = guard.run([&]() -> bw::Result<int> {
        ++calls;
        clock.advance(300ms);
        return bw::fail(status_error(503));
    });
    // Attempts at 0 ms, 400 ms and 900 ms; the fourth would begin at 1,600 ms.
    CHECK(calls == 3);
    CHECK(clock.waits() == Delays{100ms, 200ms});
    CHECK(result.error().status() == 503);
    CHECK(result.error().stopped_by() == Errc::deadline_exceeded);
}

TEST_CASE("a retry may begin at max_elapsed itself") {
    const bw::ManualClock clock;
    Script script{std::vector<Error>(9, status_error(500))};
    CHECK_FALSE(guarded(clock, {.max_retries = 9, .backoff = plain, .max_elapsed = 300ms}).run(script));
    CHECK(clock.waits() == Delays{100ms, 200ms});
}

TEST_CASE("max_elapsed has a range") {
    CHECK(refusal({.max_elapsed = 0s}) == "retry.max_elapsed: must be 1ms to 24h, got 0s");
    CHECK(refusal({.max_elapsed = 25h}) == "retry.max_elapsed: must be 1ms to 24h, got 25h");
    CHECK(refusal({.max_elapsed = 24h}) == "accepted");
}
