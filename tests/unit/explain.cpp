#include <breakwater/explain.hpp>

#include <catch_shim.hpp>

#include <cstdint>
#include <limits>
#include <sstream>
#include <string>
#include <string_view>

namespace bw = breakwater;
using namespace std::chrono_literals;

namespace {

std::string page(const bw::Explanation& all) {
    std::ostringstream out;
    out << all;
    return out.str();
}

bool warns(const bw::Explanation& all, std::string_view of) {
    for (const auto& warning : all.warnings)
        if (warning.find(of) != std::string::npos) return true;
    return false;
}

struct OfficeHours {
    struct Lane {};
    static bw::Before before(Lane&, auto&) { return bw::proceed; }
    static bw::After after(Lane&, auto&, auto&) { return bw::done; }
};
void explain_policy(const OfficeHours&, bw::Explainer& explainer) {
    explainer.layer("office hours", "refuses calls at night");
    explainer.wait(8h);
}

struct Silent {
    struct Lane {};
    static bw::Before before(Lane&, auto&) { return bw::proceed; }
    static bw::After after(Lane&, auto&, auto&) { return bw::done; }
};

}  // namespace

TEST_CASE("a pipeline explains its order, its worst case and its timeouts") {
    const bw::Pipeline guard{bw::Deadline{2s}, bw::Retry{{.max_retries = 3}},
                             bw::CircuitBreaker{{.name = "ledger", .trip = bw::ConsecutiveFailures{5}}},
                             bw::RateLimiter{bw::TokenBucket{.permits = 100, .period = 1s, .burst = 20}},
                             bw::AttemptTimeout{1s}};
    CHECK(page(bw::explain(guard)) ==
          "  deadline         2 s for all attempts and waits\n"
          "  retry            up to 3 more attempts, waiting at most 1.4 s in all, and what Retry-After asks for (each "
          "up to 5 min)\n"
          "  circuit breaker  ledger: opens after 5 failures in a row, for 60 s; then 1 probe of up to 30 s\n"
          "  rate limiter     100 calls per 1 s, 20 at once; refuses at once beyond that\n"
          "  attempt timeout  1 s, then the callable is asked to stop\n"
          "at worst a call makes 4 attempts and takes 2 s\n"
          "while the service fails it gets up to 4 calls for each one made, until the circuit opens\n"
          "timeout of attempt: 1 s (the attempt timeout, or the deadline if that is nearer)\n"
          "timeout of call:    2 s (the deadline)\n"
          "warning: attempts that take their full 1 s leave room for 2 of 4 within the deadline\n");
}

TEST_CASE("the worst case counts attempts, delays, queues and what Retry-After may ask for") {
    const bw::Pipeline guard{
        bw::Retry{{.max_retries = 2, .backoff = {.base = 1s, .multiplier = 3, .cap = 2s}, .max_retry_after = 10s}},
        bw::CircuitBreaker{{}}, bw::Bulkhead{{.max_queue = 1, .max_wait = 4s}},
        bw::RateLimiter{{.algorithm = bw::FixedWindow{}, .max_wait = 5s}}, bw::AttemptTimeout{1s}};
    const bw::Explanation all = bw::explain(guard);
    CHECK(all.worst_attempts == 3);
    CHECK(all.duration == 3 * (1s + 5s + 4s) + (1s + 2s) + 2 * 10s);
    CHECK_FALSE(all.may_overrun);
    CHECK(all.load_at_once == 3.0);
    CHECK(all.warnings.empty());
}

TEST_CASE("retries within retries multiply, and never overflow") {
    const bw::Pipeline twice{bw::Retry{{.max_retries = 3}}, bw::Retry{{.max_retries = 4}}};
    CHECK(bw::explain(twice).worst_attempts == 20);
    const bw::Retry many{{.max_retries = 1'000'000, .backoff = {.base = 24h, .cap = 24h}, .max_retry_after = 24h}};
    const bw::Explanation all = bw::explain(bw::Pipeline{many, many, many, many, bw::AttemptTimeout{24h}});
    CHECK(all.worst_attempts == std::numeric_limits<std::uint64_t>::max());
    CHECK(all.duration == bw::Duration::max());
}

TEST_CASE("where nothing bounds a call or interrupts it, the explanation says so") {
    CHECK_FALSE(bw::explain(bw::Pipeline{bw::CircuitBreaker{{}}}).duration);
    CHECK(page(bw::explain(bw::Pipeline{bw::CircuitBreaker{{}}})).find("nothing bounds how long it takes") !=
          std::string::npos);
    const bw::Explanation all = bw::explain(bw::Pipeline{bw::Deadline{2s}});
    CHECK(all.duration == 2s);
    CHECK(all.may_overrun);
}

TEST_CASE("an attempt timeout above the recovery timeout is a warning") {
    const auto explained = [](bw::Duration timeout) {
        return bw::explain(bw::Pipeline{bw::CircuitBreaker{{.recovery_timeout = 3s}}, bw::AttemptTimeout{timeout}});
    };
    CHECK(warns(explained(4s), "an attempt may take 4 s, longer than the circuit stays open (3 s)"));
    CHECK(explained(3s).warnings.empty());
}

TEST_CASE("a retry without a circuit breaker inside, and a breaker in shadow mode, are warnings") {
    CHECK(warns(bw::explain(bw::Pipeline{bw::Retry{}}), "no circuit breaker stands inside the retry"));
    CHECK(warns(bw::explain(bw::Pipeline{bw::CircuitBreaker{{}}, bw::Retry{}}), "no circuit breaker"));
    CHECK(warns(bw::explain(bw::Pipeline{bw::CircuitBreaker{{.shadow = true}}}), "shadow mode"));
}

TEST_CASE("every built-in rule and algorithm says what it does") {
    const auto says = [](const auto& policy) { return bw::explain(bw::Pipeline{policy}).layers.at(0).says; };
    const auto trip = [&](bw::AnyTrip rule) { return says(bw::CircuitBreaker{{.trip = rule}}); };
    CHECK(trip(bw::never).starts_with("never opens"));
    CHECK(trip(bw::ConsecutiveFailures{1}).starts_with("opens at a failure, for 60 s"));
    CHECK(trip(bw::FailureRate{.ratio = 0.25, .window = bw::TimeWindow{10s}})
              .starts_with("opens when 25 % of the calls of the last 10 s fail (of at least 10)"));
    CHECK(trip(bw::FailureRate{.slow_call = {.duration = 2s, .ratio = 0.8}, .bad_ratio = 0.6})
              .starts_with("opens when 50 % of the last 100 calls fail, 80 % take over 2 s, 60 % do one or the other"));
    CHECK(says(bw::RateLimiter{bw::FixedWindow{}}).starts_with("100 calls per 1 s, by the clock"));
    CHECK(says(bw::RateLimiter{bw::SlidingWindow{}}).starts_with("100 calls in any 1 s, nearly"));
    CHECK(says(bw::RateLimiter{{.max_wait = 2s}}) == "no limit, only the pauses the service asks for; waits up to 2 s");
    CHECK(says(bw::Bulkhead{{.name = "db"}}) == "db: 10 calls in flight; refuses more at once");
    CHECK(says(bw::Fallback{0}) == "answers in place of a failure");
}

TEST_CASE("a policy of one's own explains itself, or is named as such") {
    const bw::Explanation all = bw::explain(bw::Pipeline{OfficeHours{}, bw::AttemptTimeout{1h}});
    CHECK(all.layers.at(0).policy == "office hours");
    CHECK(all.duration == 9h);
    CHECK(bw::explain(bw::Pipeline{Silent{}}).layers.at(0).says == "a policy of your own");
}
