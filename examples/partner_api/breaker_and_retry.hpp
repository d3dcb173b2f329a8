#pragma once

#include "partner_service.hpp"

#include <breakwater/circuit_breaker.hpp>
#include <breakwater/pipeline.hpp>
#include <breakwater/resilient_client.hpp>
#include <breakwater/retry.hpp>
#include <breakwater/task.hpp>

#include <chrono>
#include <iomanip>
#include <iostream>
#include <string>
#include <string_view>

namespace partner_api {

namespace bw = breakwater;
using namespace std::chrono_literals;

/// How often the service is reached by 100 calls, guarded by `guard`, for a part of it that is down.
template <class Guard>
bw::Task<int> reached_by_100_calls(Guard guard, bw::ResilientClient<> bare, PartnerService& service) {
    const auto locate =
        guard.wrap([bare](int id) { return bare.async_get("/partners/" + std::to_string(id) + "/location"); });
    service.location_requests = 0;
    for (int id = 0; id < 100; ++id) {
        auto call = locate(id);
        (void)co_await call;
    }
    co_return service.location_requests;
}

/// The same two policies, both ways round. A `ResilientClient` has the breaker inside; a pipeline is as one writes it.
inline bw::Task<bool> show_both_ways(PartnerService& service) {
    const bw::ResilientClient bare{bw::ClientOptions{.name = "bare",
                                                     .base_url = service.url(),
                                                     .circuit_breaker = {.trip = bw::never},
                                                     .retry = {.max_retries = 0}}};
    const auto breaker = [] {  // a new one for each way
        return bw::CircuitBreaker{bw::CircuitBreakerOptions<>{.trip = bw::ConsecutiveFailures{5}}};
    };
    const bw::Retry retry{bw::RetryOptions<>{.max_retries = 3, .backoff = {.base = 1ms, .cap = 1ms}}};

    service.location_is_down = true;
    const auto say = [](std::string_view way, int reached, std::string_view why) {
        std::cout << "  " << std::left << std::setw(28) << way << std::right << std::setw(4) << reached << "   " << why
                  << '\n';
    };
    const int outside = co_await reached_by_100_calls(bw::Pipeline{breaker(), retry}, bare, service);
    say("Pipeline{breaker, retry}", outside, "the breaker counts calls: 5 of them, of 4 attempts each");
    const int inside = co_await reached_by_100_calls(bw::Pipeline{retry, breaker()}, bare, service);
    say("Pipeline{retry, breaker}", inside, "it counts attempts, and the 5th is the last");
    service.location_is_down = false;
    co_return outside == 20 && inside == 5;
}

}  // namespace partner_api
