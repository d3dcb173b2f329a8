#include <breakwater/event_loop/timer_wheel.hpp>

#include <catch_shim.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <utility>
#include <vector>

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::Instant;

namespace {

struct Call final : bw::Timer {
    explicit Call(std::function<void()> f) : function{std::move(f)} {}
    void on_time() noexcept override { function(); }
    std::function<void()> function;
};

Instant at(bw::Duration time) { return Instant{time}; }

/// The wheel beside a list that is searched from end to end, with the same timers.
class Model {
public:
    explicit Model(std::uint64_t seed, Instant start) : random_{seed}, now_{start}, wheel_{start} {
        for (std::size_t i = 0; i < timers_.size(); ++i) timers_[i] = std::make_unique<Call>([this, i] { fired(i); });
    }

    void step() {
        const std::size_t i = random_() % timers_.size();
        switch (random_() % 4) {
            case 0:
            case 1: is_set(i) ? remove(i) : insert(i); break;
            case 2: advance(random_span() / 8); break;
            default:
                if (const auto next = wheel_.next()) advance(std::max<bw::Duration>(*next - now_, 0us));
        }
        check_next();
    }
    std::size_t fired_count() const { return count_; }

private:
    struct Set {
        std::size_t timer;
        std::int64_t tick;   // the first millisecond not before the time it was set to; 0 if that was over
        std::int64_t order;  // of being set
    };

    bw::Duration random_span() {
        const auto bits = random_() % 46;  // from at once to two years
        return bw::Duration{static_cast<std::int64_t>(random_() % (std::uint64_t{1} << bits))};
    }
    std::int64_t tick_now() const { return now_.time_since_epoch() / 1ms; }
    bool is_set(std::size_t i) const {
        return std::ranges::any_of(set_, [&](const Set& set) { return set.timer == i; });
    }

    void insert(std::size_t i) {
        const Instant due = now_ + random_span() - bw::Duration{static_cast<std::int64_t>(random_() % 3'000)};
        wheel_.insert(*timers_[i], due);
        const auto tick = std::chrono::ceil<std::chrono::milliseconds>(due.time_since_epoch()).count();
        set_.push_back({i, tick <= passed_ ? 0 : tick, ++order_});
    }
    void remove(std::size_t i) {
        wheel_.remove(*timers_[i]);
        std::erase_if(set_, [&](const Set& set) { return set.timer == i; });
    }

    void advance(bw::Duration span) {
        now_ += span;
        newest_ = order_;
        wheel_.advance(now_);
        passed_ = tick_now();
        for (const Set& set : set_) REQUIRE((set.tick > passed_ || set.order > newest_));
    }

    /// What the wheel fires must be what the list would: due, and the first of those.
    void fired(std::size_t i) {
        const auto first = std::ranges::min_element(set_, {}, [&](const Set& set) {
            const bool is_for_later = set.tick == 0 && set.order > newest_;  // set to the past in this very advance
            return std::pair{is_for_later ? tick_now() + 1 : set.tick, set.order};
        });
        CHECK(first != set_.end());
        if (first == set_.end()) return;
        CHECK(first->timer == i);
        CHECK(first->tick <= tick_now());
        passed_ = std::max(passed_, first->tick);
        set_.erase(first);
        ++count_;
        for (auto changes = random_() % 3; changes > 0; --changes) {  // of any timer, also those due now
            const std::size_t other = random_() % timers_.size();
            is_set(other) ? remove(other) : insert(other);
        }
    }

    void check_next() {
        const auto next = wheel_.next();
        REQUIRE(next.has_value() == !set_.empty());
        if (!next) return;
        const auto first = std::ranges::min_element(set_, {}, &Set::tick);
        CHECK(next->time_since_epoch() <= std::chrono::milliseconds{first->tick});
        if (first->tick > passed_) CHECK(next->time_since_epoch() > std::chrono::milliseconds{passed_});
    }

    std::mt19937_64 random_;
    Instant now_;
    std::int64_t passed_ = tick_now() - 1;  // all ticks up to here are over
    bw::TimerWheel wheel_;
    std::vector<std::unique_ptr<Call>> timers_{60};
    std::vector<Set> set_;
    std::int64_t order_ = 0;
    std::int64_t newest_ = 0;  // when the advance under way began
    std::size_t count_ = 0;
};

}  // namespace

TEST_CASE("timers fire when and in the order a plain list would have them") {
    const auto seed = GENERATE(1u, 2u, 3u, 4u);
    const auto start = GENERATE(bw::Duration{0us}, bw::Duration{1'234'567'890'123us});
    INFO("seed " << seed);
    Model model{seed, at(start)};
    for (int i = 0; i < 8'000; ++i) model.step();
    CHECK(model.fired_count() > 1'000);
}

TEST_CASE("a timer never fires early, and at the latest with the next millisecond") {
    bw::TimerWheel wheel{at(10s)};
    int fired = 0;
    Call timer{[&] { ++fired; }};
    wheel.insert(timer, at(10s + 1500us));
    CHECK(wheel.next() == at(10s + 2ms));
    wheel.advance(at(10s + 1999us));
    CHECK(fired == 0);
    wheel.advance(at(10s + 2ms));
    CHECK(fired == 1);
    CHECK_FALSE(wheel.next());
}

TEST_CASE("a timer set to the past, or for ever, is what it says") {
    bw::TimerWheel wheel{at(10s)};
    int fired = 0;
    Call past{[&] { ++fired; }};
    Call for_ever{[&] { ++fired; }};
    wheel.insert(for_ever, Instant::max());
    wheel.insert(past, Instant::min());
    CHECK(*wheel.next() <= at(10s));
    wheel.advance(at(10s));
    CHECK(fired == 1);
    wheel.advance(at(24h * 365 * 200));
    CHECK(fired == 1);
    CHECK(wheel.next());
    wheel.remove(for_ever);
    CHECK_FALSE(wheel.next());
}

TEST_CASE("a timer that sets itself to an instant that is over does not hold up the rest") {
    bw::TimerWheel wheel{at(10s)};
    int fired = 0;
    Call again{[] {}};
    again.function = [&] {
        ++fired;
        wheel.insert(again, at(5s));
    };
    Call other{[&] { fired += 100; }};
    wheel.insert(again, at(5s));
    wheel.insert(other, at(10s + 1ms));
    wheel.advance(at(10s + 1ms));
    CHECK(fired == 101);
    wheel.advance(at(10s + 1ms));
    CHECK(fired == 102);
    wheel.remove(again);
}

TEST_CASE("a clock that steps back fires nothing") {
    bw::TimerWheel wheel{at(10s)};
    int fired = 0;
    Call timer{[&] { ++fired; }};
    wheel.insert(timer, at(11s));
    wheel.advance(at(9s));
    CHECK(fired == 0);
    wheel.advance(at(11s));
    CHECK(fired == 1);
}
