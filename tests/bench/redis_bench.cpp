// What sharing state in Redis costs, beside the same without, and beside hiredis by hand.
#include "figure.hpp"

#include <breakwater/circuit_breaker.hpp>
#include <breakwater/pipeline.hpp>
#include <breakwater/rate_limiter.hpp>
#include <breakwater/store/redis.hpp>

#include <hiredis/hiredis.h>
#include <redis_server.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

namespace bw = breakwater;
using namespace std::chrono_literals;
using Steady = std::chrono::steady_clock;
using bw::bench::print_figure;
using bw::test::RedisServer;

namespace {

constexpr bw::TokenBucket plenty{.permits = 1'000'000, .period = 1s, .burst = 1'000'000};
using Limiter = bw::RateLimiter<bw::TokenBucket, bw::RedisStore>;
template <class S>
using Breaker = bw::CircuitBreaker<bw::ConsecutiveFailures, S>;

bw::RedisStoreOptions at(const RedisServer& server, std::uint32_t lease = 1) {
    return {.url = "unix://" + server.socket(), .lease = lease, .min_reporters = 1};
}
double microseconds(Steady::duration span) { return std::chrono::duration<double, std::micro>(span).count(); }
/// How long `work` takes, in µs.
template <class F>
double time(F work) {
    const auto began = Steady::now();
    work();
    return microseconds(Steady::now() - began);
}
double quantile(std::vector<double> values, double q) {
    const auto nth = values.begin() + static_cast<std::ptrdiff_t>(q * static_cast<double>(values.size() - 1));
    std::nth_element(values.begin(), nth, values.end());
    return *nth;
}

/// The very script of an exact permit, by hiredis alone.
class ByHand {
public:
    explicit ByHand(const RedisServer& server) : context_{redisConnectUnix(server.socket().c_str())} {
        using Rate = bw::RateMachine<bw::TokenBucket>;
        const auto& script = bw::redis::script_for<bw::PauseMachine, Rate>();
        free_(command("SCRIPT", "LOAD", script.text()));
        const Rate::Options rate{plenty.prepare(), layout_of(plenty)};
        const bw::PauseMachine::Options pause;
        const bw::PauseMachine::Check check;
        const Rate::Take take;
        const bw::PauseMachine::Spend spend;
        wire_ = bw::redis::evalsha(script, "by-hand", bw::fleet::remote<bw::PauseMachine>("{hand}:pause", pause, check),
                                   bw::fleet::remote<Rate>("{hand}:rate", rate, take),
                                   bw::fleet::remote<bw::PauseMachine>("{hand}:pause", pause, spend))
                    .wire();
    }
    ByHand(const ByHand&) = delete;
    ByHand& operator=(const ByHand&) = delete;
    ~ByHand() { redisFree(context_); }

    void send() { redisAppendFormattedCommand(context_, wire_.data(), wire_.size()); }
    void receive() {
        void* reply = nullptr;
        if (redisGetReply(context_, &reply) != REDIS_OK || static_cast<redisReply*>(reply)->type == REDIS_REPLY_ERROR)
            std::abort();
        freeReplyObject(reply);
    }

private:
    redisReply* command(const char* a, const char* b, const std::string& c) {
        return static_cast<redisReply*>(redisCommand(context_, "%s %s %b", a, b, c.data(), c.size()));
    }
    static void free_(redisReply* reply) { freeReplyObject(reply); }

    redisContext* context_;
    std::string wire_;
};

void guarded_no_op() {
    const RedisServer server;
    const bw::RedisStore shared{at(server, 8'000)};
    const bw::MemoryStore<> own;
    const bw::Pipeline fleet{Breaker<bw::RedisStore>{{.name = "a"}, shared},
                             Limiter{{.name = "a", .algorithm = plenty}, shared}};
    const bw::Pipeline alone{Breaker<bw::MemoryStore<>>{{.name = "a"}, own},
                             bw::RateLimiter<bw::TokenBucket>{{.name = "a", .algorithm = plenty}, own}};
    const auto run = [](const auto& guard) {
        return time([&] {
            for (int i = 0; i < 20'000; ++i)
                if (!guard.run([] { return 1; })) std::abort();
        });
    };
    std::vector<double> with, without;
    for (int i = 0; i < 30; ++i) {
        with.push_back(run(fleet));
        without.push_back(run(alone));
        std::this_thread::sleep_for(20ms);  // the buckets refill
    }
    std::cout << "guarded no-op: " << quantile(with, 0) / 20 << " ns, in memory " << quantile(without, 0) / 20
              << " ns\n";
    print_figure("no-op through RedisStore, closed, leased / in memory", "<= 3",
                 quantile(with, 0.1) / quantile(without, 0.1));
}

void leased_permits() {
    const RedisServer server;
    const Limiter limiter{{.name = "a", .algorithm = plenty}, bw::RedisStore{at(server, 100)}};
    ByHand by_hand{server};
    std::vector<double> each, raw;
    for (int i = 0; i < 10; ++i) {
        each.push_back(time([&] {
                           for (int n = 0; n < 20'000; ++n)
                               if (!limiter.try_acquire()) std::abort();
                       }) /
                       20'000);
        for (int n = 0; n < 200; ++n)
            raw.push_back(time([&] {
                by_hand.send();
                by_hand.receive();
            }));
    }
    print_figure("leased permits (100), one thread, us a permit", "<= 1.2", quantile(each, 0.5));
    print_figure("the same / a hundredth of a synchronous EVALSHA by hand", "<= 1.6",
                 quantile(each, 0.5) / (quantile(raw, 0.5) / 100));
}

void exact_latency() {
    const RedisServer server;
    const Limiter limiter{{.name = "a", .algorithm = plenty}, bw::RedisStore{at(server)}};
    ByHand by_hand{server};
    std::vector<double> ours, raw;
    for (int i = 0; i < 5'000; ++i) {
        ours.push_back(time([&] {
            if (!limiter.try_acquire()) std::abort();
        }));
        raw.push_back(time([&] {
            by_hand.send();
            by_hand.receive();
        }));
    }
    std::cout << "exact permit: p50 " << quantile(ours, 0.5) << " us, p99 " << quantile(ours, 0.99)
              << " us; EVALSHA by hand: p50 " << quantile(raw, 0.5) << " us\n";
    print_figure("exact permit p50 / synchronous EVALSHA by hand", "<= 1.3", quantile(ours, 0.5) / quantile(raw, 0.5));
}

void exact_throughput() {
    const RedisServer server;
    const Limiter limiter{{.name = "a", .algorithm = plenty}, bw::RedisStore{at(server)}};
    constexpr int in_flight = 64, each = 300;
    std::vector<double> ratios;
    for (int round = 0; round < 7; ++round) {
        const double ours = time([&] {
            std::vector<std::jthread> callers;
            for (int i = 0; i < in_flight; ++i)
                callers.emplace_back([&] {
                    for (int n = 0; n < each; ++n)
                        if (!limiter.try_acquire()) std::abort();
                });
        });
        ByHand by_hand{server};
        const double raw = time([&] {
            for (int i = 0; i < in_flight; ++i) by_hand.send();
            for (int n = in_flight; n < in_flight * each; ++n) {
                by_hand.receive();
                by_hand.send();
            }
            for (int i = 0; i < in_flight; ++i) by_hand.receive();
        });
        std::cout << "64 in flight: " << in_flight * each / ours * 1e6 << " permits/s, by hand "
                  << in_flight * each / raw * 1e6 << "/s\n";
        ratios.push_back(raw / ours);
    }
    print_figure("exact permits, 64 in flight / hiredis by hand", ">= 0.8", quantile(ratios, 0.5));
}

void trip_everywhere() {
    const RedisServer server;
    std::vector<Breaker<bw::RedisStore>> circuits;
    for (int i = 0; i < 8; ++i)
        circuits.emplace_back(bw::CircuitBreakerOptions<bw::ConsecutiveFailures>{.name = "a"},
                              bw::RedisStore{at(server)});
    for (auto& circuit : circuits) (void)circuit.try_acquire();
    std::vector<double> milliseconds;
    for (int round = 0; round < 200; ++round) {
        for (int i = 0; i < 4; ++i) (void)circuits[0].try_acquire()->record(bw::Outcome::failure);
        auto last = circuits[0].try_acquire();
        const auto began = Steady::now();
        (void)last->record(bw::Outcome::failure);
        for (const auto& circuit : circuits)
            while (circuit.try_acquire()) std::this_thread::yield();
        milliseconds.push_back(microseconds(Steady::now() - began) / 1'000);
        circuits[0].reset();
        for (const auto& circuit : circuits)
            while (!circuit.try_acquire()) std::this_thread::yield();
    }
    print_figure("8 processes refuse after the failure that trips, p99 ms", "<= 100", quantile(milliseconds, 0.99));
}

void latency_of_an_outage() {
    RedisServer server;
    const bw::RedisStore store{at(server)};
    const Limiter limiter{{.name = "a", .algorithm = plenty}, store};
    (void)limiter.try_acquire();
    server.stop();
    std::vector<double> milliseconds;
    const double onset = time([&] { (void)limiter.try_acquire(); }) / 1'000;
    for (const auto end = Steady::now() + 5s; Steady::now() < end;) {
        milliseconds.push_back(time([&] { (void)limiter.try_acquire(); }) / 1'000);
        std::this_thread::sleep_for(100us);
    }
    server.proceed();
    std::cout << "outage (hung): the call at its onset waited " << onset << " ms\n";
    print_figure("added latency while the store hangs, p99 ms", "<= 1", quantile(milliseconds, 0.99));
}

/// Eight processes that together ask three times as often as the limit allows.
void fleet_at_its_limit() {
    const RedisServer server;
    constexpr int processes = 8, limit = 1'000, seconds = 10;
    constexpr bw::TokenBucket rule{.permits = limit, .period = 1s, .burst = 50};
    int pipe[2];
    if (::pipe(pipe) != 0) std::abort();
    const auto begin = Steady::now() + 1s;
    std::vector<pid_t> children;
    for (int p = 0; p < processes; ++p) {
        const pid_t child = ::fork();
        if (child != 0) {
            children.push_back(child);
            continue;
        }
        const Limiter limiter{{.name = "a", .algorithm = rule}, bw::RedisStore{at(server)}};
        (void)limiter.retry_after();
        std::this_thread::sleep_until(begin);
        std::vector<std::int64_t> granted;
        for (auto next = begin; next < begin + std::chrono::seconds{seconds};
             next += 1'000'000us * processes / (3 * limit)) {
            std::this_thread::sleep_until(next);
            if (limiter.try_acquire()) granted.push_back((Steady::now() - begin) / 1us);
        }
        for (const std::int64_t us : granted)
            if (::write(pipe[1], &us, sizeof us) != sizeof us) ::_exit(1);
        ::_exit(0);
    }
    ::close(pipe[1]);
    std::vector<std::int64_t> granted;
    for (std::int64_t us = 0; ::read(pipe[0], &us, sizeof us) == sizeof us;) granted.push_back(us);
    for (const pid_t child : children) ::waitpid(child, nullptr, 0);
    std::ranges::sort(granted);
    std::size_t most = 0;
    for (std::size_t first = 0, last = 0; last < granted.size(); ++last) {
        while (granted[last] - granted[first] >= 1'000'000) ++first;
        most = std::max(most, last - first + 1);
    }
    // Each process notes when it has its permit, which is a little later than when it was granted.
    print_figure("fleet of 8 at 3 x its limit: most in 1 s / (limit + burst + 8)", "<= 1",
                 static_cast<double>(most) / static_cast<double>(limit + *rule.burst + processes));
    print_figure("fleet of 8 at 3 x its limit: admitted / limit", ">= 0.97",
                 static_cast<double>(granted.size()) / (limit * seconds));
}

}  // namespace

int main() {
    fleet_at_its_limit();  // forks: before there are threads
    guarded_no_op();
    leased_permits();
    exact_latency();
    exact_throughput();
    trip_everywhere();
    latency_of_an_outage();
}
