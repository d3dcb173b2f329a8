#include <breakwater/adaptive_limit/aimd.hpp>
#include <breakwater/adaptive_limit/gradient2.hpp>
#include <breakwater/adaptive_limit/machine.hpp>
#include <breakwater/adaptive_limit/vegas.hpp>
#include <breakwater/random.hpp>

#include <catch_shim.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

// The algorithms against a server whose optimum is known: M/M/c, that is calls that come at random (Poisson), c servers
// that take exponentially distributed times (10 ms in the mean), and one queue.
//
// With a limit of L it is M/M/c/L, whose throughput has a closed form. The optimum is taken to be the smallest L with
// which it does 99 % of what it can (c calls in 10 ms): with fewer it loses throughput, with more only the queue
// grows. That L is a little more than c, as calls that come at random leave gaps, and depends on how many come: here
// one and a half times what the server can take, before, during and after the drop, so that the phases are alike.
//
// Virtual time and fixed seeds: every run is the same. In the phases the limit's mean over the last 40 of 100 windows
// is compared; probes, in which it is half for two windows, are left out. A window is 300 ms, some 1,200 calls at c =
// 40: then chance moves its mean by about 3 %, and what is tested is the algorithm.

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::Duration;
using bw::Instant;

namespace {

constexpr double service_us = 10'000;
constexpr double overload = 1.5;

/// The share of what c servers can do that M/M/c/L does.
double throughput(int servers, int limit) {
    double weight = 1, all = 1, busy = 0;
    for (int n = 1; n <= limit; ++n) {
        const int at_work = std::min(n, servers);
        weight *= overload * servers / at_work;
        all += weight;
        busy += weight * at_work;
    }
    return busy / all / servers;
}
int optimum(int servers) {
    int limit = 1;
    while (throughput(servers, limit) < 0.99) ++limit;
    return limit;
}

template <class A>
class World {
    using Machine = bw::AdaptiveLimitMachine<A>;

public:
    /// A server that refuses what would be more than `refuses_beyond` calls in its queue.
    World(A algorithm, std::uint64_t seed, int refuses_beyond = 1'000)
        : options_{.algorithm = algorithm, .window = 300ms, .minimum_samples = 50},
          state_{Machine::make_state(options_)},
          random_{seed},
          refuses_beyond_{refuses_beyond} {}

    /// The limit's mean towards the end of a phase, divided by the optimum.
    double phase(int servers) {
        const double begin = now_, window = 300'000;
        double sum = 0, next = begin + 60 * window;
        int count = 0;
        while (now_ < begin + 100 * window) {
            step(servers);
            if (now_ < next) continue;
            next += window / 4;
            if (state_.phase != Machine::Phase::measuring) continue;
            sum += Machine::limit(state_, options_);
            ++count;
        }
        return sum / count / optimum(servers);
    }

private:
    double uniform() { return static_cast<double>(random_() >> 11) * 0x1p-53; }
    std::uint32_t in_flight() const { return static_cast<std::uint32_t>(at_work_.size() + queue_.size() - served_); }

    /// The next call that comes, or ends: the times to it are exponentially distributed, and so is which.
    void step(int servers) {
        const double comes = overload * servers / service_us;
        const double ends = std::min<double>(static_cast<double>(at_work_.size()), servers) / service_us;
        now_ -= std::log(1 - uniform()) / (comes + ends);
        if (uniform() * (comes + ends) < comes) {
            if (in_flight() >= Machine::limit(state_, options_)) return;
            if (in_flight() >= static_cast<std::uint32_t>(servers + refuses_beyond_)) return record(0, 1, true);
            if (at_work_.size() < static_cast<std::size_t>(servers))
                at_work_.push_back(now_);
            else
                queue_.push_back(now_);
            return;
        }
        const auto most = std::min(at_work_.size(), static_cast<std::size_t>(servers));
        double& any = at_work_[static_cast<std::size_t>(uniform() * static_cast<double>(most))];
        const double took = now_ - any;
        record(took, 0, false);
        any = at_work_.back();
        at_work_.pop_back();
        if (served_ == queue_.size() || at_work_.size() >= static_cast<std::size_t>(servers)) return;
        at_work_.push_back(queue_[served_++]);
        if (served_ < 1'000) return;
        queue_.erase(queue_.begin(), queue_.begin() + static_cast<std::ptrdiff_t>(served_));
        served_ = 0;
    }
    void record(double took, std::uint32_t more, bool dropped) {
        const Duration whole{static_cast<std::int64_t>(took)};
        Machine::apply(state_, options_, typename Machine::Record{whole, in_flight() + more, dropped},
                       Instant{Duration{static_cast<std::int64_t>(now_)}});
    }

    const typename Machine::Options options_;
    typename Machine::State state_;
    bw::Random random_;
    const int refuses_beyond_;
    double now_ = 3.6e9;
    std::vector<double> at_work_, queue_;  // when they came
    std::size_t served_ = 0;               // of the queue
};

/// The farthest from the optimum, as a ratio, of 40 servers, 20 after half of them were lost, and 40 again.
void check(auto make_world) {
    for (const std::uint64_t seed : {1u, 2u}) {
        CAPTURE(seed);
        auto world = make_world(seed);
        for (const int servers : {40, 20, 40}) {
            CAPTURE(servers);
            const double ratio = world.phase(servers);
            CHECK(ratio >= 0.9);
            CHECK(ratio <= 1.1);
        }
    }
}

}  // namespace

TEST_CASE("the optima are known") {
    CHECK(optimum(40) == 44);
    CHECK(optimum(20) == 25);
}

TEST_CASE("Gradient2 finds an M/M/c server's limit within 10 %, after a drop to half and after recovery too") {
    check([](std::uint64_t seed) { return World{bw::Gradient2{}, seed}; });
}

TEST_CASE("Vegas finds an M/M/c server's limit within 10 %, after a drop to half and after recovery too") {
    check([](std::uint64_t seed) { return World{bw::Vegas{}, seed}; });
}

// It looks at no times: it finds where the server begins to refuse, which for this one is near the optimum.
TEST_CASE("AIMD finds the limit of an M/M/c server that refuses a longer queue within 10 %, as the others do") {
    check([](std::uint64_t seed) { return World{bw::Aimd{}, seed, 5}; });
}

// Why the defaults are not the published parameters.
TEST_CASE("Gradient2 with its published tolerance and queue lets far more queue than the server needs") {
    World world{bw::Gradient2{.tolerance = 1.5, .queue_size = 4}, 1};
    CHECK(world.phase(40) > 1.3);
}
