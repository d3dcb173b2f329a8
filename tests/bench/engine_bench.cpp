// The client's `async_get`, with the default stack, and the engine below it against hand-written libcurl loops: GET of
// 200 bytes, keep-alive, loopback, from a server that answers at once and from one that takes 20 ms; all send the same
// request. They take turns in one run, and the medians of their turns are compared. The CPU time is this process's
// alone: the servers are others. And the timer wheel.
#include "contender.hpp"
#include "figure.hpp"
#include "hand_written_loops.hpp"
#include "loopback_server.hpp"

#include <breakwater/event_loop.hpp>
#include <breakwater/resilient_client.hpp>
#include <breakwater/task.hpp>
#include <breakwater/task/start.hpp>
#include <breakwater/transport/curl.hpp>

#include <curl/curl.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <random>
#include <semaphore>
#include <string>
#include <vector>

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::bench::check;
using bw::bench::Contender;
using bw::bench::Cost;
using bw::bench::print_figure;
using bw::bench::read_us;

namespace {

constexpr std::size_t body_bytes = 200;
constexpr const char* user_agent = "breakwater/bench";

/// What the engine itself is asked.
struct ByEngine {
    auto get() const { return transport.async_send(request, options); }

    const bw::CurlTransport& transport;
    const bw::Request request;
    const bw::SendOptions options{};
};

/// What a user asks, through the whole default stack.
struct ByClient {
    auto get() const { return client.async_get("/users/42"); }

    const bw::CurlTransport& transport;
    const bw::ResilientClient<> client;
};

/// As many coroutines as there are requests in flight, each sending its next request when its answer is there.
template <class Asked>
class Coroutines {
public:
    Coroutines(const Asked& asked, std::size_t in_flight) : asked_{asked}, in_flight_{in_flight} {}

    void get(std::size_t requests) {
        to_start_ = requests;
        running_ = in_flight_;
        struct Begin final : bw::Work {
            explicit Begin(Coroutines& o) : own{o} {}
            void run() noexcept override {
                for (std::size_t i = 0; i < own.in_flight_; ++i) bw::start(own.send(), [] {});
            }
            Coroutines& own;
        } begin{*this};
        asked_.transport.scheduler().post(begin);
        done_.acquire();
    }
    std::uint64_t controls() const { return static_cast<bw::EventLoop&>(asked_.transport.scheduler()).controls(); }

private:
    bw::Task<> send() {
        while (to_start_ > 0) {
            --to_start_;
            const auto answer = co_await asked_.get();
            check(answer && answer->body.size() == body_bytes);
        }
        if (--running_ == 0) done_.release();
    }

    const Asked& asked_;
    std::size_t in_flight_;
    std::size_t to_start_ = 0;  // of the engine's thread
    std::size_t running_ = 0;
    std::binary_semaphore done_{0};
};

/// Of one request, in microseconds.
void compare(const bw::bench::LoopbackServer& server, const char* kind, std::size_t in_flight, std::size_t requests) {
    const std::string url = server.url("/users/42");
    const std::vector<std::string> headers{std::string{"User-Agent: "} + user_agent,
                                           "Accept-Encoding: " + bw::curl::accepted_encodings()};
    bw::bench::PollLoop poll{url, headers, in_flight};
    bw::bench::SocketLoop socket{url, headers, in_flight};
    const bw::CurlTransport transport;
    const bw::CurlTransport transport_of_client;
    const ByEngine by_engine{transport, {.url = url, .headers = {{"User-Agent", user_agent}}}};
    const ByClient by_client{
        transport_of_client,
        bw::ResilientClient{
            bw::ClientOptions{.name = "bench", .base_url = server.url(""), .headers = {{"User-Agent", user_agent}}},
            transport_of_client}};
    Coroutines engine{by_engine, in_flight};
    Coroutines client{by_client, in_flight};
    std::array contenders{Contender{"curl_multi_poll by hand", [&](std::size_t n) { poll.get(n, body_bytes); }},
                          Contender{"socket interface by hand", [&](std::size_t n) { socket.get(n, body_bytes); }},
                          Contender{"engine", [&](std::size_t n) { engine.get(n); }},
                          Contender{"client", [&](std::size_t n) { client.get(n); }}};
    for (Contender& contender : contenders) contender.get(requests);  // connects
    const std::uint64_t controls = client.controls();
    constexpr std::size_t turns = 15;
    take_turns(contenders, turns, requests);
    for (Contender& contender : contenders) {
        std::printf("%-6s %4zu in flight: %-26s %6.1f k/s %7.2f us of CPU\n", kind, in_flight, contender.name,
                    1e3 / contender.median(&Cost::wall), contender.median(&Cost::cpu));
    }
    auto& [by_poll, by_socket, by_the_engine, by_the_client] = contenders;
    const auto best = [&](double Cost::* what) { return std::min(by_poll.median(what), by_socket.median(what)); };
    const std::string where = std::to_string(in_flight) + " in flight, " + kind;
    const auto compared = [&](const std::string& who, Contender& own, const char* throughput, const char* cpu) {
        const std::string what = who + " to the best hand-written loop's, " + where;
        print_figure((what + ", throughput").c_str(), throughput, best(&Cost::wall) / own.median(&Cost::wall));
        print_figure((what + ", CPU").c_str(), cpu, own.median(&Cost::cpu) / best(&Cost::cpu));
    };
    compared("the engine's GET", by_the_engine, "", "");
    compared("async_get", by_the_client, ">= 0.95", "<= 1.1");
    print_figure(("async_get, " + where + ", epoll_ctl each").c_str(), "<= 0.03",
                 static_cast<double>(client.controls() - controls) / static_cast<double>(turns * requests));
}

/// Inserting and firing a million timers at random times in the next minute, while time goes on.
void time_wheel() {
    struct Counted final : bw::Timer {
        void on_time() noexcept override { ++*fired; }
        std::size_t* fired = nullptr;
    };
    constexpr std::size_t count = 1'000'000;
    std::vector<double> turns;
    for (int turn = 0; turn < 5; ++turn) {
        std::size_t fired = 0;
        std::mt19937_64 random{42};
        std::vector<std::int64_t> due(count);
        for (auto& us : due) us = static_cast<std::int64_t>(random() % 60'000'000);
        const std::unique_ptr<Counted[]> timers{new Counted[count]};
        for (std::size_t i = 0; i < count; ++i) timers[i].fired = &fired;
        bw::TimerWheel wheel;
        const double began = read_us(CLOCK_MONOTONIC);
        for (std::size_t i = 0; i < count; ++i) wheel.insert(timers[i], bw::Instant{bw::Duration{due[i]}});
        while (const auto next = wheel.next()) wheel.advance(*next);
        turns.push_back((read_us(CLOCK_MONOTONIC) - began) * 1e3 / static_cast<double>(count));
        check(fired == count);
    }
    print_figure("a timer of 1,000,000, insert and fire, ns", "<= 300", *std::ranges::min_element(turns));
}

}  // namespace

int main() {
    const bw::bench::LoopbackServer at_once{body_bytes};
    const bw::bench::LoopbackServer slow{body_bytes, 20ms};
    curl_global_init(CURL_GLOBAL_DEFAULT);
    for (const std::size_t in_flight : {64u, 256u, 1'000u}) compare(at_once, "0 ms", in_flight, 10'000);
    for (const std::size_t in_flight : {64u, 256u, 1'000u})
        compare(slow, "20 ms", in_flight, std::max<std::size_t>(2'000, 4 * in_flight));
    time_wheel();
}
