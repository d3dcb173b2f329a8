// The whole client against a hand-written loop on one reused libcurl easy handle: GET of 200 bytes, keep-alive,
// loopback. The two take turns in small batches within one run; compared are the medians of their batches.
#include "loopback_server.hpp"

#include <breakwater/resilient_client.hpp>

#include <curl/curl.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

namespace bw = breakwater;
using namespace std::chrono_literals;

namespace {

struct Cost {
    double wall_us;
    double cpu_us;
};

double cpu_us() {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    const auto us = [](const timeval& t) {
        return static_cast<double>(t.tv_sec) * 1e6 + static_cast<double>(t.tv_usec);
    };
    return us(usage.ru_utime) + us(usage.ru_stime);
}

template <class Call>
Cost batch(Call& call) {
    constexpr int calls = 500;
    const double cpu = cpu_us();
    const auto wall = std::chrono::steady_clock::now();
    for (int i = 0; i < calls; ++i) call();
    const std::chrono::duration<double, std::micro> took = std::chrono::steady_clock::now() - wall;
    return {took.count() / calls, (cpu_us() - cpu) / calls};
}

Cost median(std::vector<Cost> costs) {
    const auto middle = [&](double Cost::* of) {
        std::ranges::sort(costs, {}, of);
        return costs[costs.size() / 2].*of;
    };
    return {middle(&Cost::wall_us), middle(&Cost::cpu_us)};
}

void check(bool good) {
    if (good) return;
    std::fputs("a request failed\n", stderr);
    std::exit(1);
}

}  // namespace

int main() {
    const bw::bench::LoopbackServer server{200};

    curl_global_init(CURL_GLOBAL_DEFAULT);
    const std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> easy{curl_easy_init(), &curl_easy_cleanup};
    std::string body;
    curl_easy_setopt(easy.get(), CURLOPT_URL, server.url("/users/42").c_str());
    curl_easy_setopt(easy.get(), CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy.get(), CURLOPT_TIMEOUT_MS, 10'000L);
    const auto append = [](char* data, std::size_t size, std::size_t count, void* into) -> std::size_t {
        static_cast<std::string*>(into)->append(data, size * count);
        return size * count;
    };
    curl_easy_setopt(easy.get(), CURLOPT_WRITEFUNCTION, +append);
    curl_easy_setopt(easy.get(), CURLOPT_WRITEDATA, &body);
    auto by_hand = [&] {
        body.clear();
        check(curl_easy_perform(easy.get()) == CURLE_OK && body.size() == 200);
    };

    const bw::ResilientClient client{bw::ClientOptions{
        .name = "bench",
        .base_url = server.url(""),
        .rate_limit = {.algorithm = bw::TokenBucket{.permits = 1'000'000, .period = 1s, .burst = 1'000'000}},
    }};
    auto guarded = [&] {
        const auto response = client.get("/users/42");
        check(response && response->body.size() == 200);
    };

    batch(by_hand);
    batch(guarded);
    std::vector<Cost> hand;
    std::vector<Cost> ours;
    for (int round = 0; round < 41; ++round) {
        hand.push_back(batch(by_hand));
        ours.push_back(batch(guarded));
    }
    const Cost a = median(hand);
    const Cost b = median(ours);
    std::printf("GET, 200 bytes, keep-alive, loopback    wall us    CPU us\n");
    std::printf("libcurl easy handle by hand            %8.2f  %8.2f\n", a.wall_us, a.cpu_us);
    std::printf("ResilientClient                        %8.2f  %8.2f\n", b.wall_us, b.cpu_us);
    std::printf("ratio (reach: <= 1.04)                 %8.3f  %8.3f\n", b.wall_us / a.wall_us, b.cpu_us / a.cpu_us);
}
