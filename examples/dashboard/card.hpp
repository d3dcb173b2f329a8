#pragma once

#include <breakwater/observe/metrics.hpp>
#include <breakwater/resilient_client.hpp>
#include <breakwater/task/sleep.hpp>
#include <breakwater/task/start.hpp>
#include <breakwater/task/when_all.hpp>

#include <chrono>
#include <future>
#include <memory>
#include <nlohmann/json.hpp>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "board.hpp"
#include "service.hpp"

namespace dashboard {

using namespace std::chrono_literals;

/// A service, the client that calls it all the time, and the client's board.
template <bw::Store Store>
class Card {
    using Client = bw::ResilientClient<bw::CurlTransport, Store>;

public:
    Card(const std::string& name, const bw::CurlTransport& transport, const Store& store, const bw::Metrics& metrics)
        : service_{name}, client_{options(name, metrics), transport, store} {
        std::vector<bw::Task<>> customers;
        customers.reserve(8);
        for (int number = 0; number < 8; ++number) customers.push_back(buy(client_, "/" + name, 80ms + number * 15ms));
        customers_ = bw::as_future(all(std::move(customers)), bw::TaskContext{stop_.get_token()});
    }
    Card(const Card&) = delete;
    Card& operator=(const Card&) = delete;
    ~Card() {
        stop_.request_stop();
        customers_.wait();
    }

    const std::string& name() const noexcept { return service_.name(); }

    nlohmann::json json() const {
        nlohmann::json json = board_->json();
        json["name"] = name();
        json["weather"] = to_string(service_.weather());
        json["client"] = client_.snapshot();
        return json;
    }

    void set(Weather weather) noexcept { service_.set(weather); }
    bool press(const std::string& word) const {
        const auto circuit = client_.circuit_breaker();
        if (word == "open")
            circuit.force_open();
        else if (word == "close")
            circuit.force_closed();
        else if (word == "reset")
            circuit.reset();
        else
            return false;
        return true;
    }

private:
    bw::ClientOptions options(const std::string& name, const bw::Metrics& metrics) const {
        return {.name = name,
                .base_url = service_.url(),
                .timeouts = {.attempt = 400ms, .deadline = 1500ms},
                .circuit_breaker = {.trip = bw::FailureRate{.ratio = 0.5,
                                                            .window = bw::TimeWindow{.duration = 5s},
                                                            .minimum_calls = 20},
                                    .recovery_timeout = 3s},
                .bulkhead = {.max_concurrent = 6, .max_queue = 8},
                .rate_limit = {.algorithm = bw::TokenBucket{.permits = 60, .period = 1s}, .max_wait = 200ms},
                .hedge = {.max_hedges = 1, .quantile = 0.95},
                .observer = bw::observers([board = board_](const bw::Event& event) { (*board)(event); }, metrics)};
    }
    static bw::Task<> all(std::vector<bw::Task<>> tasks) { (void)co_await bw::when_all(std::move(tasks)); }
    static bw::Task<> buy(Client client, std::string target, bw::Duration pause) {
        const std::stop_token stop = co_await bw::current_stop_token();
        while (!stop.stop_requested()) {
            (void)co_await client.async_get(target);
            (void)co_await bw::sleep_for(pause);
        }
    }

    Service service_;
    const std::shared_ptr<Board> board_ = std::make_shared<Board>();
    const Client client_;
    std::stop_source stop_;
    std::future<void> customers_;
};

}  // namespace dashboard
