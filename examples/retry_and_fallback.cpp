// Retries, fallbacks and circuits, each with its log. Time is a ManualClock's: an hour of waits takes no time, and the
// seconds printed are the ones a real service would have been given.
#include <breakwater/circuit_breaker.hpp>
#include <breakwater/fallback.hpp>
#include <breakwater/pipeline.hpp>
#include <breakwater/retry.hpp>
#include <breakwater/testing/manual_clock.hpp>

#include <chrono>
#include <cstdlib>
#include <iomanip>
#include <iostream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bw = breakwater;
using namespace std::chrono_literals;

struct TimedOut {};
struct BadOrder {};

const bw::ManualClock clock_of_the_show;
const bw::MemoryStore memory{clock_of_the_show};
bw::Instant began = clock_of_the_show.now();
bool all_true = true;

void say(const std::string& text) {
    const std::chrono::duration<double> now = clock_of_the_show.now() - began;
    std::cout << std::fixed << std::setprecision(1) << std::setw(6) << now.count() << " s  " << text << '\n';
}
void title(std::string_view text) {
    began = clock_of_the_show.now();
    std::cout << '\n' << text << '\n';
}
void expect(bool holds, std::string_view what) {
    if (!holds) std::cout << "  NOT TRUE: " << what << '\n';
    all_true = all_true && holds;
}
std::string text(const bw::Result<std::string>& result) {
    return result ? "\"" + *result + "\"" : result.error().message();
}

/// What is done before and after each attempt, and when a circuit changes.
void tell(const bw::Event& event) {
    const std::string of = event.max_attempts > 1 ? " of " + std::to_string(event.max_attempts) : "";
    const std::string attempt = "attempt " + std::to_string(event.attempt) + of;
    const std::string delay = event.delay ? bw::format_duration(*event.delay) : "";
    switch (event.kind) {
        case bw::EventKind::attempt_started: return say(attempt);
        case bw::EventKind::attempt_ended: return say(event.code ? "    failed" : "    worked");
        case bw::EventKind::retry_scheduled: return say("    again in " + delay);
        case bw::EventKind::fallback_used: return say("the fallback answers");
        case bw::EventKind::circuit_opened: return say("circuit open for " + delay);
        case bw::EventKind::circuit_half_opened: return say("circuit half-open");
        case bw::EventKind::circuit_closed: return say("circuit closed");
        default: return;
    }
}

const bw::Observe observe{tell};
const bw::UseClock use_clock{clock_of_the_show};
const bw::RetryOptions<> five_attempts{.max_retries = 4,
                                       .backoff = {.base = 1s, .multiplier = 2, .cap = 10s, .jitter = bw::Jitter::none},
                                       .on = bw::on_exceptions<TimedOut>()};

std::string timing_out() { throw TimedOut{}; }
std::string refusing() { throw BadOrder{}; }
std::string working() { return "in stock"; }

void retries() {
    title("Five attempts, 1 to 10 s apart, after a TimedOut only");
    const bw::Pipeline guard{observe, use_clock, bw::Retry{five_attempts}};
    auto result = guard.run(timing_out);
    say("gave up: " + text(result));
    expect(!result && result.error().attempts() == 5, "five attempts were made");
    expect(clock_of_the_show.waits() == std::vector<bw::Duration>{1s, 2s, 4s, 8s}, "the waits were 1, 2, 4 and 8 s");

    title("A BadOrder is not retried: it would be as bad the second time");
    result = guard.run(refusing);
    expect(!result && result.error().attempts() == 1, "one attempt was made");
    try {
        bw::value_or_throw(std::move(result));
    } catch (const BadOrder&) {
        say("the caller may have its BadOrder back as it was thrown");
    }

    title("The same with a fallback");
    const bw::Pipeline with_fallback{bw::Fallback{std::string{"ask tomorrow"}}, observe, use_clock,
                                     bw::Retry{five_attempts}};
    result = with_fallback.run(timing_out);
    say("answer: " + text(result));
    expect(result == "ask tomorrow", "the fallback answered");
}

void circuits() {
    title("A circuit that opens after 3 failures, for 10 s, without a fallback");
    const bw::CircuitBreaker breaker{
        bw::CircuitBreakerOptions<>{.name = "warehouse", .trip = bw::ConsecutiveFailures{3}, .recovery_timeout = 10s},
        memory};
    const bw::Pipeline bare{observe, breaker};
    for (int call = 1; call <= 3; ++call) expect(!bare.run(timing_out), "the call fails");
    clock_of_the_show.advance(1300ms);
    const auto refused = bare.run(working);
    say("refused: " + text(refused));
    expect(!refused && refused.error().retry_after() == 8700ms, "the refusal says when to come back");

    title("The same circuit with a fallback");
    const bw::Pipeline gentle{bw::Fallback{std::string{"ask tomorrow"}, {.on = bw::when_open}}, observe, breaker};
    expect(gentle.run(working) == "ask tomorrow", "the fallback answered");
    clock_of_the_show.advance(8700ms);
    const auto result = gentle.run(working);
    say("answer: " + text(result));
    expect(result == "in stock" && breaker.state() == bw::CircuitState::closed, "a good probe closed the circuit");
}

void rates() {
    title("A circuit that opens when half of the calls of the last 10 s fail, and closes after 3 good probes");
    const bw::CircuitBreaker<bw::FailureRate, bw::MemoryStore<bw::ManualClock>> breaker{
        {.trip = {.ratio = 0.5, .window = bw::TimeWindow{10s}, .minimum_calls = 10},
         .recovery_timeout = 10s,
         .half_open_probes = 3,
         .success_threshold = 3},
        memory};
    const bw::Pipeline guard{breaker};
    for (int call = 1; call <= 10; ++call) {
        (void)(call % 2 == 0 ? guard.run(timing_out) : guard.run(working));
        clock_of_the_show.advance(500ms);
    }
    say("5 of 10 calls failed: the circuit is " + std::string{to_string(breaker.state())});
    expect(breaker.state() == bw::CircuitState::open, "the rate opened the circuit");

    clock_of_the_show.advance(9500ms);
    std::vector<bw::Result<decltype(breaker)::Permit>> asked;
    asked.reserve(5);  // callers at once
    while (asked.size() < 5) asked.push_back(breaker.try_acquire());
    for (auto& permit : asked) say(permit ? "a probe is let through" : "refused: " + permit.error().message());
    expect(asked[2] && !asked[3], "three probes were let through");
    for (auto& permit : asked)
        if (permit && permit->record(bw::Outcome::success)) say("the third good probe closes the circuit");
    expect(breaker.state() == bw::CircuitState::closed, "the probes closed the circuit");
}

int main() {
    retries();
    circuits();
    rates();
    return all_true ? EXIT_SUCCESS : EXIT_FAILURE;
}
