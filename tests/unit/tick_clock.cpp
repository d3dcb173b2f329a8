#include <breakwater/tick_clock.hpp>

#include <catch_shim.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <stop_token>
#include <thread>
#include <vector>

namespace bw = breakwater;
using namespace std::chrono_literals;

namespace {

/// A counter and a reference that a test moves; both count `true_time`, the counter at a rate of its own.
struct Script {
    double ticks_per_ns = 2.4;
    double ticks = 1e6;
    std::int64_t nanoseconds = 3'600'000'000'000;  // one hour
    bool invariant = true;
    std::uint64_t offset = 0;  // added to the counter
    bool counter_read = false;

    void pass(std::chrono::nanoseconds span) {
        nanoseconds += span.count();
        ticks += static_cast<double>(span.count()) * ticks_per_ns;
    }
    std::uint64_t count() const { return static_cast<std::uint64_t>(ticks) + offset; }
    bw::Instant reference() const { return bw::Instant{bw::Duration{nanoseconds / 1'000}}; }
};

struct ScriptedCounter {
    Script* script;
    bool is_invariant() const noexcept { return script->invariant; }
    std::uint64_t read() const noexcept {
        script->counter_read = true;
        return script->count();
    }
};
struct ScriptedReference {
    Script* script;
    std::int64_t operator()() const noexcept { return script->nanoseconds; }
};
struct Meter : bw::TickMeter<ScriptedCounter, ScriptedReference> {
    explicit Meter(Script& script) : TickMeter{ScriptedCounter{&script}, ScriptedReference{&script}} {}
};

void calibrate(Meter& meter, Script& script) {
    meter.now();
    script.pass(150ms);
    meter.now();
}

bw::Duration error(Meter& meter, const Script& script) { return meter.now() - script.reference(); }

bool is_near(bw::Duration error, bw::Duration bound = 3us) { return -bound <= error && error <= bound; }

}  // namespace

TEST_CASE("the counter is used after a tenth of a second and then reads as the reference does") {
    for (const double rate : {0.001001, 0.024, 1.0, 2.4, 5.7, 99.0}) {
        CAPTURE(rate);
        Script script{.ticks_per_ns = rate};
        Meter meter{script};
        CHECK(is_near(error(meter, script)));
        script.pass(50ms);
        CHECK(is_near(error(meter, script)));
        CHECK_FALSE(meter.uses_counter());
        script.pass(50ms);
        CHECK(is_near(error(meter, script)));
        CHECK(meter.uses_counter());
        for (int i = 0; i < 10'000; ++i) {
            script.pass(1'234'567ns);
            if (!is_near(error(meter, script))) FAIL_CHECK(error(meter, script).count());
        }
        CHECK(meter.uses_counter());
    }
}

TEST_CASE("a counter that is not invariant is never read and the reference is used") {
    Script script{.invariant = false};
    Meter meter{script};
    for (int i = 0; i < 20; ++i) {
        script.pass(100ms);
        CHECK(is_near(error(meter, script)));
    }
    CHECK(meter.has_given_up());
    CHECK_FALSE(script.counter_read);
}

TEST_CASE("a counter slower than a megahertz or faster than a hundred gigahertz is not used") {
    for (const double rate : {0.0, 0.0009, 200.0}) {
        CAPTURE(rate);
        Script script{.ticks_per_ns = rate};
        Meter meter{script};
        for (int i = 0; i < 20; ++i) {
            script.pass(100ms);
            CHECK(is_near(error(meter, script)));
        }
        CHECK_FALSE(meter.uses_counter());
    }
}

TEST_CASE("a counter that drifts within the tolerance is followed and never reads backwards") {
    for (const double change : {1.0005, 0.9995}) {
        CAPTURE(change);
        Script script;
        Meter meter{script};
        calibrate(meter, script);
        script.ticks_per_ns *= change;
        bw::Instant last = meter.now();
        for (int i = 0; i < 100'000; ++i) {
            script.pass(77'777ns);
            const bw::Instant now = meter.now();
            if (now < last || !is_near(now - script.reference(), 600us)) FAIL_CHECK((now - last).count());
            last = now;
        }
        CHECK(meter.uses_counter());
        CHECK(is_near(error(meter, script)));
    }
}

TEST_CASE("a counter whose rate changes is given up and the clock stands until the reference has caught up") {
    for (const double change : {1.5, 1.01, 0.5}) {
        CAPTURE(change);
        Script script;
        Meter meter{script};
        calibrate(meter, script);
        script.ticks_per_ns *= change;
        bw::Instant last = meter.now();
        for (int i = 0; i < 3'000; ++i) {
            script.pass(1ms);
            const bw::Instant now = meter.now();
            CHECK(now >= last);
            last = now;
        }
        CHECK(meter.has_given_up());
        CHECK_FALSE(meter.uses_counter());
        CHECK(is_near(error(meter, script)));
    }
}

TEST_CASE("a counter that jumps ahead or back before the last setting is given up and no reading goes back") {
    for (const std::uint64_t jump :
         {std::uint64_t{0} - 1'000'000'000, std::uint64_t{1} << 40, std::uint64_t{1} << 63}) {
        CAPTURE(jump);
        Script script;
        Meter meter{script};
        calibrate(meter, script);
        script.pass(300ms);
        bw::Instant last = meter.now();
        script.offset = jump;
        for (int i = 0; i < 30; ++i) {
            const bw::Instant now = meter.now();
            CHECK(now >= last);
            last = now;
            script.pass(100ms);
        }
        CHECK(meter.has_given_up());
        CHECK(is_near(error(meter, script)));
    }
}

TEST_CASE("a counter that steps back since the last setting is given up at the next one") {
    Script script;
    Meter meter{script};
    calibrate(meter, script);
    script.pass(600ms);
    const bw::Instant before = meter.now();
    script.offset = std::uint64_t{0} - 240'000'000;  // 100 ms
    CHECK(is_near(meter.now() - before, 100ms + 3us));
    script.pass(600ms);
    CHECK(is_near(error(meter, script)));
    CHECK(meter.has_given_up());
}

TEST_CASE("a counter that stands still is given up when somebody sees it lag") {
    Script script;
    Meter meter{script};
    calibrate(meter, script);
    const bw::Instant stood = meter.now();
    script.ticks_per_ns = 0;
    script.pass(5s);
    CHECK(meter.now() == stood);
    meter.verify();
    CHECK(meter.has_given_up());
    CHECK(is_near(error(meter, script)));
}

TEST_CASE("a good counter stands a verification at any time") {
    Script script;
    Meter meter{script};
    meter.verify();
    calibrate(meter, script);
    for (int i = 0; i < 100; ++i) {
        meter.verify();
        script.pass(33ms);
        CHECK(is_near(error(meter, script)));
    }
    CHECK(meter.uses_counter());
}

TEST_CASE("a clock nobody has read for a year is right at once") {
    for (const double rate : {0.024, 2.4}) {
        Script script{.ticks_per_ns = rate};
        Meter meter{script};
        calibrate(meter, script);
        script.pass(24h * 365);
        CHECK(is_near(error(meter, script)));
        CHECK(meter.uses_counter());
    }
}

TEST_CASE("a counter may run over and a machine may be up for centuries") {
    Script script;
    script.nanoseconds = std::int64_t{1} << 62;                    // 146 years
    script.offset = std::uint64_t{0} - 1'000'000 - 1'000'000'000;  // over in 400 ms
    Meter meter{script};
    for (int i = 0; i < 100; ++i) {
        CHECK(is_near(error(meter, script)));
        script.pass(30ms);
    }
    CHECK(meter.uses_counter());
}

TEST_CASE("the tick clock keeps to the steady clock and its copies are one clock") {
    const bw::TickClock clock;
    const bw::TickClock copy = clock;
    CHECK(clock == copy);
    const bw::SteadyClock steady;
    const bw::Instant end = steady.now() + 200ms;
    bw::Instant last = clock.now();
    bool forward = true;
    while (steady.now() < end) {
        const bw::Instant now = copy.now();
        forward = forward && now >= last;
        last = now;
    }
    CHECK(forward);
    CHECK(clock.now() >= steady.now() - 1ms);
    const bw::Instant read = clock.now();
    CHECK(read <= steady.now() + 1ms);
}

TEST_CASE("a wait on the tick clock lasts until its own reading says so, or a stop is requested") {
    const bw::TickClock clock;
    const bw::Instant end = clock.now() + 2ms;
    CHECK(clock.wait_until(end, {}) == bw::Wait::elapsed);
    CHECK(clock.now() >= end);
    CHECK(clock.wait_until(clock.now() - 1s, {}) == bw::Wait::elapsed);
    std::stop_source stop;
    std::jthread stopper{[&] { stop.request_stop(); }};
    CHECK(clock.wait_until(bw::Instant::max(), stop.get_token()) == bw::Wait::stopped);
    CHECK(clock.wait_until(clock.now() - 1s, stop.get_token()) == bw::Wait::stopped);
}
