// The client's asynchronous calls: hedged and not, against a server of which some answers stall; and ten thousand in
// flight at once, beside a hand-written libcurl loop that makes the same requests in the same run.
#include "figure.hpp"
#include "hand_written_loops.hpp"
#include "loopback_server.hpp"

#include <breakwater/resilient_client.hpp>
#include <breakwater/task/start.hpp>

#include <curl/curl.h>
#include <malloc.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <optional>
#include <semaphore>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::bench::check;
using bw::bench::print_figure;
using Clock = std::chrono::steady_clock;

namespace {

// What is not libcurl's: that allocates by malloc.
std::atomic<std::int64_t> bytes_in_use{0};
std::atomic<std::int64_t> allocations{0};

}  // namespace

[[gnu::noinline]] void* operator new(std::size_t size) {
    void* const memory = std::malloc(size != 0 ? size : 1);
    if (memory == nullptr) throw std::bad_alloc{};
    bytes_in_use.fetch_add(static_cast<std::int64_t>(::malloc_usable_size(memory)), std::memory_order_relaxed);
    allocations.fetch_add(1, std::memory_order_relaxed);
    return memory;
}
[[gnu::noinline]] void operator delete(void* memory) noexcept {
    bytes_in_use.fetch_sub(static_cast<std::int64_t>(::malloc_usable_size(memory)), std::memory_order_relaxed);
    std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { operator delete(memory); }

namespace {

constexpr std::size_t body_bytes = 200;

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

bw::ClientOptions patient(const bw::bench::LoopbackServer& server) {
    auto own = options(server);
    own.timeouts = {.attempt = 30s, .connect = 30s, .deadline = 60s};
    return own;
}

/// A server for each: the kernel looks for a free port past those of connections just closed.
void many_in_flight(const bw::bench::LoopbackServer& server, const bw::bench::LoopbackServer& server_by_hand) {
    constexpr std::size_t calls = 10'000;
    const std::array<std::string, 2> ways{"10,000 in flight, answered in 1 s, each on a new connection",
                                          "the same, on connections that are there"};
    const auto took = [](auto&& make) {
        const auto began = Clock::now();
        make();
        return in_ms(Clock::now() - began);
    };
    std::array<double, 2> by_hand{};
    {
        std::optional<bw::bench::SocketLoop> loop;
        by_hand[0] = took([&] {
            loop.emplace(server_by_hand.url("/users/42"), std::vector<std::string>{"User-Agent: breakwater/bench"},
                         calls);
            loop->get(calls, body_bytes);
        });
        by_hand[1] = took([&] { loop->get(calls, body_bytes); });
    }
    Calls many{patient(server), {.max_idle = calls}};
    for (std::size_t i = 0; i < ways.size(); ++i) {
        const double ms = took([&] { many.make(calls, calls); });
        print_figure((ways[i] + ": to the ideal").c_str(), "<= 1.3", ms / 1'000);
        print_figure((ways[i] + ": to a hand-written loop").c_str(), "<= 1.1", ms / by_hand[i]);
    }
}

/// What calls hold while they wait for their answers.
void memory_in_flight(const bw::bench::LoopbackServer& silent) {
    constexpr std::size_t calls = 2'000;
    const bw::CurlTransport transport{{.max_idle = calls}};
    std::atomic<std::size_t> left{calls};
    {
        const bw::ResilientClient client{patient(silent), transport};
        bw::start(client.async_get("//refused"), [](const auto&) {});  // what is made once
        const auto settle = [] {
            for (std::int64_t seen = -1; seen != bytes_in_use.load(); std::this_thread::sleep_for(200ms))
                seen = bytes_in_use.load();
        };
        (void)transport.scheduler();
        settle();
        const auto bytes = bytes_in_use.load();
        const auto allocated = allocations.load();
        for (std::size_t i = 0; i < calls; ++i) bw::start(client.async_get("/users/42"), [&](const auto&) { --left; });
        settle();
        const auto each = [](std::int64_t all) { return static_cast<double>(all) / static_cast<double>(calls); };
        // The buffer for its error messages is the handle's by libcurl's rules.
        print_figure("bytes per call in flight beyond libcurl's own", "<= 2048",
                     each(bytes_in_use.load() - bytes) - CURL_ERROR_SIZE);
        print_figure("allocations per call in flight beyond libcurl's own", "", each(allocations.load() - allocated));
    }
    while (left > 0) std::this_thread::sleep_for(1ms);
}

}  // namespace

int main() {
    const bw::bench::LoopbackServer stalling{body_bytes, 5ms, {.share = 0.02, .last = 1s}};
    const bw::bench::LoopbackServer slow{body_bytes, 1s};
    const bw::bench::LoopbackServer slow_too{body_bytes, 1s};
    const bw::bench::LoopbackServer silent{body_bytes, 1h};
    memory_in_flight(silent);
    compare_hedged(stalling);
    many_in_flight(slow, slow_too);
}
