#include <breakwater/observe/metrics.hpp>

#include <catch_shim.hpp>
#include <stress/on_threads.hpp>
#include <unit/prometheus_page.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <latch>
#include <string>
#include <thread>
#include <vector>

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::EventKind;
using test::on_threads;
using test::PrometheusPage;

namespace {

constexpr unsigned threads = 8;

const std::string& name(std::size_t i) {
    static const std::array<std::string, 20> names = [] {
        std::array<std::string, 20> made;
        for (std::size_t n = 0; n < made.size(); ++n) made[n] = "client number " + std::to_string(n);
        return made;
    }();
    return names[i % names.size()];
}

/// What one thread does with one client.
void count(const bw::Metrics& metrics, const std::string& client, int i) {
    metrics({.kind = EventKind::attempt_started, .client = client});
    metrics({.kind = EventKind::attempt_ended, .client = client, .status = 200 + i % 5, .took = bw::Duration{i}});
    metrics({.kind = EventKind::permit_refused, .client = client, .policy = client, .code = bw::Errc::rate_limited});
    metrics({.kind = i % 2 == 0 ? EventKind::circuit_opened : EventKind::circuit_closed,
             .client = client,
             .policy = "circuit",
             .at = bw::Instant{1h} + bw::Duration{i}});
    metrics({.kind = EventKind::call_ended, .client = client, .took = bw::Duration{i}});
}

/// Two threads that add side by side: each goes on until both have added enough, so neither does so alone.
class Pair {
public:
    void add(bw::ShardedCounts& counts, std::size_t who) {
        std::uint64_t own = 0;
        while (own < enough || added_[1 - who] < enough) {
            counts.add(0, 1);
            added_[who].store(++own, std::memory_order_relaxed);
        }
    }
    std::uint64_t sum() const { return added_[0] + added_[1]; }

private:
    static constexpr std::uint64_t enough = 1'000'000;
    std::array<std::atomic<std::uint64_t>, 2> added_{};
};

}  // namespace

TEST_CASE(
    "counts from eight threads are exact, and each page read meanwhile is valid and no less than the one before") {
    constexpr int rounds = 5'000;
    const bw::Metrics metrics;
    std::atomic<bool> done = false;
    std::string fault;
    std::jthread reader{[&] {
        try {
            for (double before = 0; !done;) {
                const double calls = PrometheusPage{metrics.prometheus_text()}.sum("breakwater_calls_total");
                if (calls < before) fault = "less than before";
                before = calls;
                (void)metrics.snapshot();
            }
        } catch (const std::exception& error) {
            fault = error.what();
        }
    }};
    on_threads(threads, [&](unsigned thread) {
        for (int i = 0; i < rounds; ++i) count(metrics, name(static_cast<std::size_t>(i) + thread), i);
    });
    done = true;
    reader.join();
    CHECK(fault.empty());

    const PrometheusPage page{metrics.prometheus_text()};
    constexpr double all = threads * rounds;
    CHECK(page.sum("breakwater_calls_total") == all);
    CHECK(page.sum("breakwater_attempts_total") == all);
    CHECK(page.sum("breakwater_attempts_total", {{"result", "203"}}) == all / 5);
    CHECK(page.sum("breakwater_permits_refused_total") == all);
    CHECK(page.sum("breakwater_circuit_transitions_total") == all);
    CHECK(page.sum("breakwater_call_duration_seconds_count") == all);
    CHECK(page.sum("breakwater_attempts_in_flight") == 0);
    bw::Duration sum{0};
    for (const bw::ClientMetrics& client : metrics.snapshot().clients) sum += client.call_duration.sum;
    CHECK(sum == bw::Duration{std::int64_t{threads} * rounds * (rounds - 1) / 2});
    // Whoever told it last of each: the clock was the same for all.
    CHECK(page.sum("breakwater_circuit_state") == 20);
}

TEST_CASE("names that come from all threads at once are told apart up to the bound, and none is lost") {
    for (int round = 0; round < 300; ++round) {
        const bw::Metrics metrics{{.max_names = 10}};
        on_threads(threads, [&](unsigned thread) {
            for (std::size_t i = 0; i < 20; ++i)
                metrics({.kind = EventKind::permit_refused,
                         .client = "c",
                         .policy = name(i * 7 + std::size_t{thread} * 3),
                         .code = bw::Errc::rate_limited});
        });
        const PrometheusPage page{metrics.prometheus_text()};
        CHECK(page.sum("breakwater_permits_refused_total") == threads * 20);
        CHECK(page.sum("breakwater_permits_refused_total", {{"policy", "other"}}) == threads * 10);
        CHECK(page.sum("breakwater_metrics_folded_total") == threads * 10);
        CHECK(page.samples().size() == 10 + 1 + 1);  // the policies, the others, and how many were folded
    }
}

TEST_CASE("threads that come and go lose no count") {
    const bw::Metrics metrics;
    on_threads(threads, [&](unsigned) {
        for (int i = 0; i < 200; ++i)
            std::jthread{[&] { metrics({.kind = EventKind::cache_hit, .client = "c"}); }}.join();
    });
    CHECK(PrometheusPage{metrics.prometheus_text()}.sum("breakwater_cache_hits_total") == threads * 200);
}

TEST_CASE("threads for which there is no place of their own share one and lose no count") {
    bw::ShardedCounts counts;
    std::latch placed{bw::ThreadSlot::own};
    std::latch over{1};
    std::vector<std::jthread> idle;
    for (unsigned i = 0; i < bw::ThreadSlot::own; ++i) {
        idle.emplace_back([&] {
            counts.add(0, 1);
            placed.count_down();
            over.wait();
        });
    }
    placed.wait();
    Pair pair;
    on_threads(2, [&](unsigned thread) { pair.add(counts, thread); });
    over.count_down();
    CHECK(counts.sum(0) == bw::ThreadSlot::own + pair.sum());
}

TEST_CASE("what a thread's last destructors count is kept, beside a thread that has its place by then") {
    struct Late {
        bw::ShardedCounts* counts = nullptr;
        Pair* pair = nullptr;
        ~Late() {
            if (counts == nullptr) return;
            const std::jthread next{[&] { pair->add(*counts, 1); }};
            pair->add(*counts, 0);
        }
    };
    bw::ShardedCounts counts;
    Pair pair;
    std::jthread{[&] {
        static thread_local Late late;  // made before the thread has a place, so that it goes after it
        late.counts = &counts;
        late.pair = &pair;
        counts.add(0, 1);
    }}.join();
    CHECK(counts.sum(0) == 1 + pair.sum());
}
