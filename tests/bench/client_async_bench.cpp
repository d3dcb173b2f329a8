// The client's asynchronous calls: hedged and not, against a server of which some answers stall; and ten thousand in
// flight at once.
#include "figure.hpp"
#include "loopback_server.hpp"

#include <breakwater/resilient_client.hpp>
#include <breakwater/task/start.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <semaphore>
#include <string>
#include <utility>
#include <vector>

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::bench::print_figure;
using Clock = std::chrono::steady_clock;

namespace {

void check(bool good) {
    if (good) return;
    std::fputs("a request failed\n", stderr);
    std::exit(1);
}

double in_ms(Clock::duration span) { return std::chrono::duration<double, std::milli>(span).count(); }

bw::ClientOptions options(const bw::bench::LoopbackServer& server) {
    return {.name = "bench",
            .base_url = server.url(""),
            .circuit_breaker = {.trip = bw::never},
            .retry = {.max_retries = 0}};
}

/// Calls, so many at once, and how long each took.
class Calls {
public:
    explicit Calls(bw::ClientOptions options, bw::CurlOptions transport = {})
        : transport_{std::move(transport)}, client_{std::move(options), transport_} {}

    void make(std::size_t count, std::size_t at_once) {
        took_.clear();
        to_start_ = count;
        running_ = at_once;
        struct Begin final : bw::Work {
            void run() noexcept override {
                for (std::size_t i = 0; i < at_once; ++i) bw::start(own->call_on(), [] {});
            }
            Calls* own = nullptr;
            std::size_t at_once = 0;
        } begin;
        begin.own = this;
        begin.at_once = at_once;
        transport_.scheduler().post(begin);
        done_.acquire();
    }
    /// In milliseconds.
    double quantile(double share) {
        const auto at = took_.begin() + static_cast<std::ptrdiff_t>(share * static_cast<double>(took_.size()));
        std::ranges::nth_element(took_, at);
        return in_ms(*at);
    }
    std::uint64_t requests() const { return transport_.counts().requests; }

private:
    bw::Task<> call_on() {
        while (to_start_ > 0) {
            --to_start_;
            const auto began = Clock::now();
            check((co_await client_.async_get("/users/42")).has_value());
            took_.push_back(Clock::now() - began);
        }
        if (--running_ == 0) done_.release();
    }

    const bw::CurlTransport transport_;
    const bw::ResilientClient<> client_;
    std::vector<Clock::duration> took_;  // of the engine's thread, as what follows
    std::size_t to_start_ = 0;
    std::size_t running_ = 0;
    std::binary_semaphore done_{0};
};

void compare_hedged(const bw::bench::LoopbackServer& server) {
    constexpr std::size_t calls = 20'000;
    constexpr std::size_t at_once = 64;
    Calls plain{options(server)};
    auto hedging = options(server);
    hedging.hedge.max_hedges = 1;
    Calls hedged{hedging};
    for (Calls* each : {&plain, &hedged}) each->make(1'000, at_once);  // connects, and learns
    const auto before = hedged.requests();
    plain.make(calls, at_once);
    hedged.make(calls, at_once);
    const double p99 = plain.quantile(0.99);
    const double p99_hedged = hedged.quantile(0.99);
    std::printf("p99 with 2 %% stalls of 1 s: %.1f ms, hedged %.1f ms\n", p99, p99_hedged);
    print_figure("hedged p99 to unhedged, 2 % stalls of 1 s", "<= 0.1", p99_hedged / p99);
    print_figure("its requests to calls", "<= 1.05",
                 static_cast<double>(hedged.requests() - before) / static_cast<double>(calls));
}

void many_in_flight(const bw::bench::LoopbackServer& server) {
    constexpr std::size_t calls = 10'000;
    auto own = options(server);
    own.timeouts = {.attempt = 30s, .connect = 30s, .deadline = 60s};
    Calls many{own, {.max_idle = calls}};
    for (const char* what : {"10,000 in flight, answered in 1 s, each on a new connection: to the ideal",
                             "the same, on connections that are there: to the ideal"}) {
        const auto began = Clock::now();
        many.make(calls, calls);
        print_figure(what, "<= 1.3", in_ms(Clock::now() - began) / 1'000);
    }
}

}  // namespace

int main() {
    const bw::bench::LoopbackServer stalling{200, 5ms, {.share = 0.02, .last = 1s}};
    const bw::bench::LoopbackServer slow{200, 1s};
    compare_hedged(stalling);
    many_in_flight(slow);
}
