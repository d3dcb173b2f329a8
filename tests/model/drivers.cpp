// Random calls through random policies: all drivers decide, report and wait as the blocking one does.
#include <catch_shim.hpp>

#include <breakwater/attempt_forecast.hpp>
#include <breakwater/bulkhead.hpp>
#include <breakwater/circuit_breaker.hpp>
#include <breakwater/deadline.hpp>
#include <breakwater/fallback.hpp>
#include <breakwater/pipeline.hpp>
#include <breakwater/rate_limiter.hpp>
#include <breakwater/retry.hpp>
#include <breakwater/store/fleet.hpp>
#include <breakwater/task/now_or_later.hpp>
#include <breakwater/task/start.hpp>
#include <breakwater/testing/manual_clock.hpp>
#include <breakwater/testing/virtual_server.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <random>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <utility>

namespace bw = breakwater;
using namespace std::chrono_literals;

namespace {

/// What one driver has done, in words, and the chances it has met.
struct World {
    explicit World(std::uint32_t seed) : random{seed}, is_watched{seed % 3 != 0} {}

    int pick(int n) { return static_cast<int>(random() % static_cast<std::uint32_t>(n)); }
    void tell(const std::string& words) {
        story += std::to_string(clock.now().time_since_epoch().count()) + " " + words + "\n";
    }

    bw::ManualClock clock;
    bw::MemoryStore<bw::ManualClock> store{clock};
    std::mt19937 random;
    const bool is_watched;
    std::string story;
    std::stop_source stop;
};

/// A policy that says anything at any time, and never more than so many waits.
class Whim {
public:
    struct Lane {
        int waits = 0;
        int again = 0;
    };
    class Waiter {
    public:
        std::stop_source turn() const { return turn_; }

    private:
        friend Whim;
        std::stop_source turn_;
        bool is_granted_ = false;
    };

    Whim(std::string name, World& world) : name_{std::move(name)}, world_{&world} {}

    std::string_view name() const { return name_; }
    bool glance(Lane&, auto&) const { return world_->pick(3) == 0; }
    bool glance_back(Lane&, const bw::Result<int>&) const { return world_->pick(3) == 0; }
    bw::Before before(Lane& lane, auto& call) const {
        const int choice = world_->pick(12);
        world_->tell(name_ + " before " + std::to_string(choice));
        if (world_->pick(40) == 0) call.probing = true;
        if (world_->pick(60) == 0) world_->stop.request_stop();
        switch (choice) {
            case 0: return bw::reject(bw::Errc::rate_limited, 3s);
            case 1: return bw::answer_now;
            case 2:
            case 3:
                if (lane.waits++ < 2)
                    return bw::wait_for(std::chrono::milliseconds{world_->pick(700)}, bw::Errc::rate_limited);
                break;
            case 4:
            case 5: return bw::queue_for(std::chrono::milliseconds{world_->pick(700)}, bw::Errc::bulkhead_full);
            default: break;
        }
        return bw::proceed;
    }
    bw::Before reask(Lane&, auto&) const {
        const bool stands = world_->pick(5) != 0;
        world_->tell(name_ + (stands ? " stands" : " has changed its mind"));
        return stands ? bw::proceed : bw::reject(bw::Errc::circuit_open);
    }
    bool enqueue(Lane&, Waiter& waiter) const {
        waiter.is_granted_ = world_->pick(2) == 0;
        if (waiter.is_granted_) waiter.turn_.request_stop();
        const bool has_room = world_->pick(6) != 0;
        world_->tell(name_ + (has_room ? " queues" : " is full"));
        return has_room;
    }
    bw::Before settle(Lane&, Waiter& waiter) const {
        const bool answers = world_->pick(4) == 0;
        world_->tell(name_ + (answers ? " knows the answer" : waiter.is_granted_ ? " grants" : " does not grant"));
        if (answers) return bw::answer_now;
        return waiter.is_granted_ ? bw::proceed : bw::reject(bw::Errc::bulkhead_full);
    }
    bw::Result<int> answer(Lane&, auto&) const {
        return world_->pick(2) ? bw::Result<int>{7} : bw::fail(bw::Errc::bad_result);
    }
    bw::Error refusal(Lane&, auto&, const bw::Before& before) const { return bw::refusal_by(name_, before); }
    bw::After after(Lane& lane, const auto&, auto& result) const {
        const int choice = world_->pick(6);
        world_->tell(name_ + " after " + std::to_string(choice) + (result ? "" : " " + result.error().message()));
        if (choice == 0 && lane.again++ < 2) return bw::again_after(std::chrono::milliseconds{world_->pick(3) * 400});
        if (choice == 1) result = bw::fail(bw::Errc::failure);
        return bw::done;
    }

protected:
    std::string name_;
    World* world_;
};

/// The same, but calls pass it at a glance, which it refuses at once every now and then, and is done with at once if
/// they succeed.
class PlainWhim : public Whim {
public:
    using Glimpse = Lane;
    using Whim::refusal;
    using Whim::Whim;

    bool glance_back(Glimpse&, const bw::Result<int>&) const { return is_next_among(3); }
    bool finish(Glimpse&, const bw::Result<int>& result) const {
        if (result) world_->tell(name_ + " is done");
        return result.has_value();
    }
    bw::Before refuses(const auto&) const {
        return is_next_among(6) ? bw::reject(bw::Errc::circuit_open, 1s) : bw::proceed;
    }
    bw::Error refusal(const bw::Before& before) const { return bw::refusal_by(name_, before); }

    bw::Before before(Lane& lane, auto& call) const {
        const bw::Before before = refuses(call);
        return before.kind == bw::Before::Kind::reject ? before : Whim::before(lane, call);
    }
    bw::After after(Lane& lane, const auto& call, auto& result) const {
        return finish(lane, result) ? bw::done : Whim::after(lane, call, result);
    }

private:
    /// One time in `n`. Asked again, it says the same.
    bool is_next_among(unsigned n) const {
        std::mt19937 next{world_->random};
        return next() % n == 0;
    }
};

/// The same, but who does not block is answered later, every other time.
class AskingWhim : public Whim {
public:
    struct Lane : Whim::Lane {
        bool is_later = false;
    };
    using Whim::Whim;

    bw::NowOrLater<bw::Before> async_before(Lane& lane, auto& call) const {
        return soon(lane, [&, this] { return before(lane, call); });
    }
    bw::NowOrLater<bw::Before> async_reask(Lane& lane, auto& call) const {
        return soon(lane, [&, this] { return reask(lane, call); });
    }
    bw::NowOrLater<bw::After> async_after(Lane& lane, auto& call, auto& result) const {
        return soon(lane, [&, this] { return after(lane, call, result); });
    }

private:
    template <class F>
    static auto soon(Lane& lane, F decide) -> bw::NowOrLater<decltype(decide())> {
        if (lane.is_later = !lane.is_later; lane.is_later) return later(std::move(decide));
        return decide();
    }
    template <class F>
    static auto later(F decide) -> bw::Task<decltype(decide())> {
        co_return decide();
    }
};

bw::Result<int> attempt(World& world) {
    world.tell("attempt");
    world.clock.advance(std::chrono::milliseconds{world.pick(300)});
    switch (world.pick(12)) {
        case 0: return bw::fail(bw::Errc::http_status);
        case 1: return bw::fail(std::move(bw::Error{bw::Errc::connect_failed}.set_retry_after(2s)));
        case 2: return bw::fail(bw::Errc::attempt_timeout);
        case 3: return bw::fail(bw::Errc::invalid_request);
        case 4: throw std::runtime_error{"thrown"};
        case 5:
            if (world.pick(8) == 0) world.stop.request_stop();
            return bw::fail(bw::Errc::receive_failed);
        default: return world.pick(100);
    }
}

bw::Observe watcher(World& world) {
    if (!world.is_watched) return bw::Observe{{}};
    return bw::Observe{[&world](const bw::Event& event) {
        std::string words = "event " + std::string{to_string(event.kind)} + " by " + std::string{event.policy};
        if (event.code) words += " " + std::string{to_string(*event.code)};
        if (event.delay) words += " delay " + std::to_string(event.delay->count());
        if (event.took) words += " took " + std::to_string(event.took->count());
        if (event.source) words += " from " + std::string{to_string(*event.source)};
        words += " attempt " + std::to_string(event.attempt) + "/" + std::to_string(event.max_attempts);
        words += " at " + std::to_string(event.at.time_since_epoch().count());
        world.tell(words);
    }};
}

enum class Through { blocking, coroutine, plain };

void end(World& world, const bw::Result<int>& result) {
    world.tell(result ? "result " + std::to_string(*result) : "error " + result.error().message());
    if (!result) world.tell("attempts " + std::to_string(result.error().attempts()));
    world.stop = {};
    world.clock.advance(std::chrono::milliseconds{world.pick(500)});
}

template <class Guard>
void call(World& world, const Guard& guard, Through driver) {
    bw::CallOptions<int> options{.stop = world.stop.get_token(), .resendable = world.pick(4) != 0};
    if (world.pick(2)) options.deadline = std::chrono::milliseconds{world.pick(2'000)};
    if (world.pick(4) == 0) options.fallback = [](const bw::Error&) { return 5; };
    if (world.pick(30) == 0) world.stop.request_stop();
    bw::Result<int> result;
    if (driver == Through::blocking)
        result = guard.run([&] { return attempt(world); }, options);
    else
        result = bw::sync_wait<bw::Result<int>>(
            guard.run_async([&]() -> bw::Task<bw::Result<int>> { co_return attempt(world); }, options));
    end(world, result);
}

/// A call of which nothing is told.
template <class Guard>
void bare_call(World& world, const Guard& guard, Through driver) {
    const auto function = [&] { return attempt(world); };
    end(world, driver == Through::plain ? guard.run(function) : guard.run(function, {}));
}

template <class AnyWhim>
void whims(World& world, Through driver) {
    const bw::Pipeline guard{bw::UseClock{world.clock}, watcher(world), AnyWhim{"outer", world},
                             AnyWhim{"middle", world}, AnyWhim{"inner", world}};
    for (int i = 0; i < 40; ++i) call(world, guard, driver);
}

void plain_whims(World& world, Through driver) {
    const bw::Pipeline guard{bw::UseClock{world.clock}, watcher(world), PlainWhim{"outer", world},
                             PlainWhim{"middle", world}, PlainWhim{"inner", world}};
    for (int i = 0; i < 40; ++i) bare_call(world, guard, driver);
}

template <class Store>
auto everything(World& world, const Store& store) {
    const auto ms = [&](int most) { return std::chrono::milliseconds{1 + world.pick(most)}; };
    return bw::Pipeline{
        watcher(world),
        bw::Fallback{[](const bw::Error& error) -> bw::Result<int> { return bw::fail(error); }},
        bw::Deadline{ms(20'000)},
        bw::Retry{{.max_retries = static_cast<std::uint32_t>(world.pick(5)),
                   .backoff = {.base = ms(500), .cap = 2s},
                   .max_elapsed = ms(9'000),
                   .seed = 7}},
        bw::CircuitBreaker{{.name = "b",
                            .trip = bw::ConsecutiveFailures{static_cast<std::uint32_t>(1 + world.pick(4))},
                            .recovery_timeout = ms(3'000),
                            .probe_lease = 60s,
                            .seed = 3},
                           store},
        bw::Bulkhead{{.max_concurrent = 1, .max_queue = 1, .max_wait = ms(500)}},
        bw::RateLimiter{
            {.name = "b", .algorithm = bw::TokenBucket{.permits = 3, .period = 1s, .burst = 3}, .max_wait = ms(2'000)},
            store}};
}

void in_memory(World& world, Through driver) {
    const auto guard = everything(world, world.store);
    for (int i = 0; i < 40; ++i) call(world, guard, driver);
}
void plain_in_memory(World& world, Through driver) {
    const auto guard = everything(world, world.store);
    for (int i = 0; i < 40; ++i) bare_call(world, guard, driver);
}

void in_a_fleet(World& world, Through driver) {
    bw::testing::VirtualServer server{world.clock};
    const auto guard = everything(world, bw::FleetStore<bw::testing::VirtualLink>{{.min_reporters = 1}, server});
    for (int i = 0; i < 40; ++i) call(world, guard, driver);
}

std::string story_of(void (*calls)(World&, Through), Through driver, std::uint32_t seed) {
    World world{seed};
    calls(world, driver);
    for (const bw::Duration wait : world.clock.waits()) world.tell("waited " + std::to_string(wait.count()));
    return world.story;
}

/// Where two stories part, with what came before; empty if they do not.
std::string where_they_part(const std::string& one, const std::string& other) {
    if (one == other) return {};
    std::size_t at = 0;
    while (at < one.size() && at < other.size() && one[at] == other[at]) ++at;
    const std::size_t from = at < 1'500 ? 0 : at - 1'500;
    return "..." + one.substr(from, at - from) + "\nONE: " + one.substr(at, 300) + "\nOTHER: " + other.substr(at, 300);
}

}  // namespace

TEST_CASE("both drivers decide, report and wait alike") {
    for (const auto calls : {&whims<Whim>, &whims<AskingWhim>, &in_memory, &in_a_fleet}) {
        for (std::uint32_t seed = 0; seed < 150; ++seed) {
            const std::string blocking = story_of(calls, Through::blocking, seed);
            const std::string asynchronous = story_of(calls, Through::coroutine, seed);
            INFO("seed " << seed << where_they_part(blocking, asynchronous));
            REQUIRE((asynchronous == blocking));
        }
    }
}

TEST_CASE("a call of which nothing is told goes the way of one with options that say nothing") {
    for (const auto calls : {&plain_whims, &plain_in_memory}) {
        for (std::uint32_t seed = 0; seed < 300; ++seed) {
            const std::string blocking = story_of(calls, Through::blocking, seed);
            const std::string plain = story_of(calls, Through::plain, seed);
            INFO("seed " << seed << where_they_part(blocking, plain));
            REQUIRE((plain == blocking));
        }
    }
}
