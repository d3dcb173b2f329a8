// What the transport costs beside a hand-written loop on one reused easy handle. The two take turns, twenty exchanges
// each, so that both meet the same machine; the counters are medians of the turns and of their ratios. The CPU time is
// this process's alone: the server is another.
#include "loopback_server.hpp"

#include <breakwater/transport/curl.hpp>

#include <benchmark/benchmark.h>
#include <curl/curl.h>
#include <time.h>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace bw = breakwater;

namespace {

std::optional<bw::bench::LoopbackServer> server;

constexpr int turn = 20;

struct Cost {
    double cpu;
    double wall;
};

/// Of one exchange in microseconds.
template <class Call>
Cost take_turn(Call&& call) {
    const auto read = [](clockid_t clock) {
        timespec time{};
        clock_gettime(clock, &time);
        return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_nsec) * 1e-3;
    };
    const double cpu = read(CLOCK_PROCESS_CPUTIME_ID);
    const double wall = read(CLOCK_MONOTONIC);
    for (int i = 0; i < turn; ++i) call();
    return {(read(CLOCK_PROCESS_CPUTIME_ID) - cpu) / turn, (read(CLOCK_MONOTONIC) - wall) / turn};
}

double median(std::vector<double> values) {
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::nth_element(values.begin(), middle, values.end());
    return *middle;
}

void transport_beside_easy_handle(benchmark::State& state, const bw::Headers& headers) {
    const std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> easy{curl_easy_init(), &curl_easy_cleanup};
    std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)> list{nullptr, &curl_slist_free_all};
    for (const auto& [name, value] : headers) {
        list.reset(curl_slist_append(list.release(), (name + ": " + value).c_str()));
    }
    std::string body;
    curl_easy_setopt(easy.get(), CURLOPT_URL, server->url("/users/42").c_str());
    curl_easy_setopt(easy.get(), CURLOPT_HTTPHEADER, list.get());
    curl_easy_setopt(easy.get(), CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy.get(), CURLOPT_TIMEOUT_MS, 10'000L);
    const auto append = [](char* data, std::size_t size, std::size_t count, void* into) -> std::size_t {
        static_cast<std::string*>(into)->append(data, size * count);
        return size * count;
    };
    curl_easy_setopt(easy.get(), CURLOPT_WRITEFUNCTION, +append);
    curl_easy_setopt(easy.get(), CURLOPT_WRITEDATA, &body);
    const auto by_hand = [&] {
        body.clear();
        if (curl_easy_perform(easy.get()) != CURLE_OK) state.SkipWithError("curl_easy_perform failed");
        benchmark::DoNotOptimize(body.data());
    };

    const bw::CurlTransport transport;
    const bw::Request request{.url = server->url("/users/42"), .headers = headers};
    const auto by_transport = [&] {
        auto response = transport.send(request);
        if (!response) state.SkipWithError("send failed");
        benchmark::DoNotOptimize(response);
    };

    take_turn(by_hand);
    take_turn(by_transport);
    std::vector<double> hand_cpu, transport_cpu, hand_wall, transport_wall, cpu_ratio, wall_ratio;
    for (auto _ : state) {
        const Cost hand = take_turn(by_hand);
        const Cost ours = take_turn(by_transport);
        hand_cpu.push_back(hand.cpu);
        hand_wall.push_back(hand.wall);
        transport_cpu.push_back(ours.cpu);
        transport_wall.push_back(ours.wall);
        cpu_ratio.push_back(ours.cpu / hand.cpu);
        wall_ratio.push_back(ours.wall / hand.wall);
    }
    state.counters = {{"hand_cpu_us", median(hand_cpu)},   {"transport_cpu_us", median(transport_cpu)},
                      {"hand_wall_us", median(hand_wall)}, {"transport_wall_us", median(transport_wall)},
                      {"cpu_ratio", median(cpu_ratio)},    {"wall_ratio", median(wall_ratio)}};
}
BENCHMARK_CAPTURE(transport_beside_easy_handle, plain, bw::Headers{})->Iterations(500);
BENCHMARK_CAPTURE(transport_beside_easy_handle, with_headers,
                  bw::Headers{{"Authorization", "Bearer 0123456789"}, {"Accept", "application/json"}})
    ->Iterations(500);

}  // namespace

int main(int argc, char** argv) {
    server.emplace(200);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    benchmark::Initialize(&argc, argv);
    benchmark::RunSpecifiedBenchmarks();
    server.reset();
}
