// A coroutine, guarded: called and awaited as before, it is tried again, has a circuit of its own, and an answer while
// that is open. No wait takes a thread. About 2 s, of real time.
#include <breakwater/circuit_breaker.hpp>
#include <breakwater/fallback.hpp>
#include <breakwater/pipeline.hpp>
#include <breakwater/retry.hpp>
#include <breakwater/task/sleep.hpp>
#include <breakwater/task/start.hpp>
#include <breakwater/task/when_all.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <iomanip>
#include <iostream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bw = breakwater;
using namespace std::chrono_literals;

struct Row {
    int id = 0;
    std::string name{};
};

// What stands for a database: 20 ms away, and as often out of reach as it is told to be.
constexpr int for_ever = 1'000'000;
std::atomic<int> failures{0}, reached{0};

/// The function to be guarded. It knows nothing of that, and says by an exception that it has failed.
bw::Task<Row> fetch_row(int id) {
    ++reached;
    (void)co_await bw::sleep_for(20ms);
    if (failures > 0) {
        --failures;
        throw std::runtime_error{"connection lost"};
    }
    co_return Row{id, "customer " + std::to_string(id)};
}

const auto began = std::chrono::steady_clock::now();

void say(std::string_view text) {
    std::ostringstream line;
    const std::chrono::duration<double> now = std::chrono::steady_clock::now() - began;
    line << std::fixed << std::setprecision(2) << std::setw(7) << now.count() << " s  " << text << '\n';
    std::cout << line.str() << std::flush;
}

void watch(const bw::Event& event) {
    const std::string delay = event.delay ? bw::format_duration(*event.delay) : "";
    switch (event.kind) {
        case bw::EventKind::retry_scheduled: return say("    failed, again in " + delay);
        case bw::EventKind::circuit_opened: return say("    --- circuit open for " + delay + " ---");
        case bw::EventKind::circuit_half_opened: return say("    --- circuit half-open: one call is let through ---");
        case bw::EventKind::circuit_closed: return say("    --- circuit closed ---");
        default: return;
    }
}

bool all_true = true;

/// What came of one step, how often it reached the database, and whether that is what was expected.
void conclude(const std::string& answer, int expected, bool holds) {
    const int times = reached.exchange(0);
    const bool good = holds && times == expected;
    all_true = all_true && good;
    const std::string asked = times == 0   ? "not asked"
                              : times == 1 ? "asked once"
                                           : "asked " + std::to_string(times) + " times";
    say("    " + answer + "; " + asked + (good ? "" : "   <-- NOT AS EXPECTED"));
}

std::string text(const bw::Result<Row>& row) {
    return row ? "row " + std::to_string(row->id) + ", \"" + row->name + "\"" : row.error().message();
}

bw::Task<> show() {
    const bw::Pipeline guard{
        bw::Observe{watch}, bw::Fallback{[](const bw::Error&) { return Row{0, "unknown"}; }, {.on = bw::when_open}},
        bw::Retry{
            bw::RetryOptions<>{.max_retries = 2, .backoff = {.base = 50ms, .cap = 1s, .jitter = bw::Jitter::none}}},
        bw::CircuitBreaker{bw::CircuitBreakerOptions<>{.trip = bw::ConsecutiveFailures{4}, .recovery_timeout = 1s}}};
    const auto fetch = guard.wrap(fetch_row);  // called as `fetch_row` is; gives a task of a Result<Row>

    say("all is well");
    auto first = fetch(1);
    bw::Result<Row> row = co_await first;
    conclude(text(row), 1, row && row->id == 1);

    say("two failures on the way");
    failures = 2;
    auto second = fetch(2);
    row = co_await second;
    conclude(text(row), 3, row && row->id == 2);

    say("200 rows side by side, each 20 ms away");
    std::vector<bw::Task<bw::Result<Row>>> many;
    for (int id = 1; id <= 200; ++id) many.push_back(fetch(id));
    const auto asked_at = std::chrono::steady_clock::now();
    const auto rows = co_await bw::when_all(std::move(many));
    const auto took = std::chrono::duration_cast<bw::Duration>(std::chrono::steady_clock::now() - asked_at);
    const auto good = std::ranges::count_if(rows, [](const auto& each) { return each && each->id > 0; });
    conclude(std::to_string(good) + " rows in " + bw::format_duration(took), 200, good == 200);

    say("the database is down: a call gives up");
    failures = for_ever;
    auto third = fetch(3);
    row = co_await third;
    conclude(text(row), 3, !row && row.error().attempts() == 3);

    say("the next one opens the circuit, and is given the fallback");
    auto fourth = fetch(4);
    row = co_await fourth;
    conclude(text(row), 1, row && row->id == 0);

    say("1000 more while it is open");
    int answered = 0;
    for (int id = 1; id <= 1000; ++id) {
        auto call = fetch(id);
        const auto each = co_await call;
        answered += each && each->id == 0;
    }
    conclude(std::to_string(answered) + " times the fallback", 0, answered == 1000);

    say("the database is back; a second later it is asked again");
    failures = 0;
    (void)co_await bw::sleep_for(1s);
    auto last = fetch(5);
    row = co_await last;
    conclude(text(row), 1, row && row->id == 5);
}

int main() {
    bw::sync_wait(show());
    return all_true ? EXIT_SUCCESS : EXIT_FAILURE;
}
