// Any function, guarded: configured once, a circuit of its own for each function, an answer while the service is away.
#include <breakwater/circuit_breaker.hpp>
#include <breakwater/fallback.hpp>
#include <breakwater/pipeline.hpp>
#include <breakwater/retry.hpp>
#include <breakwater/status_of.hpp>
#include <breakwater/testing/manual_clock.hpp>

#include <atomic>
#include <cstdlib>
#include <iomanip>
#include <iostream>
#include <latch>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace bw = breakwater;
using namespace std::chrono_literals;

struct ServiceError {  // what the functions below throw
    int status;
};
int status_of(const ServiceError& error) { return error.status; }

// The configuration, once. Every function gets a guard of its own from it, and with it a circuit of its own.
struct Config {
    bw::ManualClock clock{};  // so that 10 s pass at once in this show; without it and the store, time is real
    bw::MemoryStore<bw::ManualClock> store{clock};
    bw::RetryOptions<> retry{
        .max_retries = 3, .backoff = {.base = 100ms, .cap = 30s}, .on = bw::on_statuses({429, 500, 502, 503, 504})};
    bw::CircuitBreakerOptions<> circuit{.trip = bw::ConsecutiveFailures{3}, .recovery_timeout = 10s};

    auto guard(std::string name, auto fallback) const {
        bw::CircuitBreakerOptions<> own = circuit;
        own.name = std::move(name);
        return bw::Pipeline{bw::Fallback{fallback}, bw::Retry{retry}, bw::CircuitBreaker{own, store},
                            bw::StatusOf<ServiceError>{}};
    }
};

// A remote service, or what stands for one: it fails as often as it is told to, and counts how often it is reached.
struct Service {
    std::atomic<int> failures{0};
    std::atomic<int> status{503};
    std::atomic<int> reached{0};

    double answer(double value) {
        ++reached;
        if (failures > 0) {
            --failures;
            throw ServiceError{status};
        }
        return value;
    }
};
Service prices, stocks;
double price(std::string_view) { return prices.answer(19.90); }
double stock(std::string_view) { return stocks.answer(42); }

constexpr int for_ever = 1'000'000;
constexpr int threads = 8, calls_each = 1'000;
bool all_true = true;

/// One line: what happened, how often the service was reached, and whether that is what was expected.
void show(std::string_view what, int calls, Service& service, int expected, bool holds, const std::string& answer) {
    const int reached = service.reached.exchange(0);
    const bool good = holds && reached == expected;
    all_true = all_true && good;
    std::cout << "  " << std::left << std::setw(50) << what << std::right << std::setw(6) << calls << std::setw(9)
              << reached << "   " << answer << (good ? "" : "   <-- NOT AS EXPECTED") << '\n';
}

std::string text(const bw::Result<double>& result) {
    if (!result) return result.error().message();
    const std::string digits = std::to_string(*result);
    return digits.substr(0, digits.find('.') + 3);
}

/// The same call from 8 threads at once; returns how many were answered with `value`.
int from_threads(const auto& function, double value) {
    std::atomic<int> count{0};
    std::latch start{threads};
    {
        std::vector<std::jthread> pool;
        pool.reserve(threads);
        for (int i = 0; i < threads; ++i) {
            pool.emplace_back([&] {
                start.arrive_and_wait();
                for (int call = 0; call < calls_each; ++call) count += function("VAN-001") == value;
            });
        }
    }
    return count;
}

int main() {
    const Config config;
    const auto price_guard = config.guard("price", 0.0);
    const auto stock_guard = config.guard("stock", 0.0);
    const auto safe_price = price_guard.wrap(price);  // called as `price` is
    const auto safe_stock = stock_guard.wrap(stock);

    std::cout << "  " << std::left << std::setw(50) << "what" << std::right << std::setw(6) << "calls" << std::setw(9)
              << "reached" << "   answer\n";

    bw::Result<double> result = safe_price("VAN-001");
    show("price works", 1, prices, 1, result == 19.90, text(result));

    prices.failures = 2;
    result = safe_price("VAN-001");
    const auto waits = config.clock.waits();
    show("price fails twice: 503 is retried", 1, prices, 3, result == 19.90 && waits.size() == 2,
         text(result) + ", after " + bw::format_duration(waits[0]) + " and " + bw::format_duration(waits[1]));

    prices.status = 404;
    prices.failures = 1;
    result = safe_price("NO-SUCH");
    show("404 is not: asking again would not help", 1, prices, 1, !result && result.error().status() == 404,
         "an error with status 404");

    stocks.failures = for_ever;
    result = safe_stock("VAN-001");
    show("stock is down: the 3rd failure opens its circuit", 1, stocks, 3, result == 0.0,
         text(result) + ", the fallback");

    int answered = from_threads(safe_stock, 0.0);
    show("stock from 8 threads: no I/O, the fallback", threads * calls_each, stocks, 0,
         answered == threads * calls_each, std::to_string(answered) + " times 0.00");

    result = stock_guard.run([] { return stock("VAN-001"); }, {.fallback = [](const bw::Error&) { return -1.0; }});
    show("a call with a fallback of its own", 1, stocks, 0, result == -1.0, text(result));

    answered = from_threads(safe_price, 19.90);
    show("price from 8 threads: its circuit is another", threads * calls_each, prices, threads * calls_each,
         answered == threads * calls_each, std::to_string(answered) + " times 19.90");

    stocks.failures = 0;
    config.clock.advance(10s);
    result = safe_stock("VAN-001");
    show("10 s later stock is tried again, and works", 1, stocks, 1, result == 42.0, text(result));
    return all_true ? EXIT_SUCCESS : EXIT_FAILURE;
}
