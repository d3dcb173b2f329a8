#pragma once

#include <breakwater/breakwater.hpp>
#include <breakwater/store/redis.hpp>

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>
#include <thread>

namespace redis_fleet {

namespace bw = breakwater;
using Clock = std::chrono::steady_clock;  // one for all processes of a machine

/// What became of a call, or that a probe is under way.
enum class Mark : char {
    answered = '.',
    refused = '-',   ///< By the circuit: nobody was asked.
    limited = '~',   ///< By the rate limiter.
    failed = 'x',    ///< The supplier was asked in vain.
    probe = 'p',     ///< Failed, and was the probe of an open circuit.
    recovery = 'P',  ///< Answered, and was the probe.
    lost = '!',      ///< Anything else.
    probing = '?',   ///< A probe begins.
};

/// What a worker tells the show through a pipe: short enough to be written as one.
struct Report {
    std::int32_t worker = 0;
    Mark mark{};
    Clock::time_point began{};
    Clock::time_point ended{};
    bw::Duration waited{};  ///< For a permit of the rate limiter.
};

/// What all workers of a show do.
struct Task {
    std::string url;           ///< The supplier's.
    double haste = 1;          ///< How many times faster than usual the circuit recovers.
    std::int64_t limit = 120;  ///< How many calls a second the supplier allows, and how many at once.
};

inline bw::ClientOptions client_options(const Task& task) {
    using namespace std::chrono_literals;
    const auto soon = [&](std::chrono::milliseconds usual) {
        return bw::Duration{static_cast<std::int64_t>(static_cast<double>(bw::Duration{usual}.count()) / task.haste)};
    };
    return {.name = "supplier",
            .base_url = task.url,
            .auth = bw::Bearer{"show-key"},
            .timeouts = {.attempt = 800ms, .connect = 300ms, .deadline = 3s},
            .circuit_breaker = {.trip = bw::FailureRate{.window = bw::CountWindow{20}, .minimum_calls = 10},
                                .recovery_timeout = soon(1'000ms),
                                .probe_lease = soon(2'000ms)},
            .rate_limit = {.algorithm = bw::TokenBucket{.permits = task.limit}, .max_wait = 1s},
            .retry = {.max_retries = 0}};
}

/// Calls the supplier for ever, once every 25 ms at most, and reports.
template <bw::Store Store>
[[noreturn]] void work(int number, const Task& task, const Store& store, int pipe) {
    bw::Duration waited{};
    const auto report = [&](Mark mark, Clock::time_point began) {
        const Report words{.worker = number, .mark = mark, .began = began, .ended = Clock::now(), .waited = waited};
        if (::write(pipe, &words, sizeof words) != sizeof words) ::_exit(0);  // nobody listens
    };
    bool is_closed = true;
    bool probes = false;
    bw::ClientOptions options = client_options(task);
    options.observer = [&](const bw::Event& event) {
        switch (event.kind) {
            case bw::EventKind::circuit_closed: is_closed = true; break;
            case bw::EventKind::circuit_opened:
            case bw::EventKind::circuit_half_opened: is_closed = false; break;
            case bw::EventKind::limiter_waited: waited += event.delay.value_or(bw::Duration{}); break;
            case bw::EventKind::attempt_started:
                probes = !is_closed;
                if (probes) report(Mark::probing, Clock::now());
                break;
            default: break;
        }
    };
    const bw::ResilientClient client{options, bw::CurlTransport{}, store};

    for (auto next = Clock::now();;) {
        probes = false;
        waited = {};
        const auto began = Clock::now();
        const auto answer = client.get("/inventory", {.query = {{"page", 1}, {"per_page", 1}}});
        Mark mark = Mark::lost;
        if (answer) {
            mark = probes ? Mark::recovery : Mark::answered;
        } else if (answer.error().code() == bw::Errc::circuit_open) {
            mark = Mark::refused;
        } else if (answer.error().code() == bw::Errc::rate_limited) {
            mark = Mark::limited;
        } else if (answer.error().status() == 503 || answer.error().code() == bw::Errc::attempt_timeout ||
                   answer.error().code() == bw::Errc::connect_timeout) {
            mark = probes ? Mark::probe : Mark::failed;
        } else {
            std::fprintf(stderr, "worker %d has lost a call: %s\n", number + 1, answer.error().message().c_str());
        }
        report(mark, began);
        next = std::max(next + std::chrono::milliseconds{25}, Clock::now());
        std::this_thread::sleep_until(next);
    }
}

}  // namespace redis_fleet
