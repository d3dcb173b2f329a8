// The transport against a hand-written loop on one reused easy handle, side by side in one run:
//   curl_transport_bench --benchmark_enable_random_interleaving=true --benchmark_repetitions=9
// Compare the medians of cpu_us (this process alone; the server is another) and of the wall time.
#include "loopback_server.hpp"

#include <breakwater/transport/curl.hpp>

#include <benchmark/benchmark.h>
#include <curl/curl.h>
#include <sys/resource.h>

#include <cstddef>
#include <memory>
#include <optional>
#include <string>

namespace bw = breakwater;

namespace {

std::optional<bw::bench::LoopbackServer> server;

double cpu_seconds() {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    const auto seconds = [](const timeval& t) {
        return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
    };
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

template <class Call>
void measure(benchmark::State& state, Call&& call) {
    for (int warm = 0; warm < 20; ++warm) call();
    const double before = cpu_seconds();
    for (auto _ : state) call();
    state.counters["cpu_us"] = benchmark::Counter{(cpu_seconds() - before) * 1e6, benchmark::Counter::kAvgIterations};
}

void hand_written_easy_handle(benchmark::State& state) {
    const std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> easy{curl_easy_init(), &curl_easy_cleanup};
    std::string body;
    curl_easy_setopt(easy.get(), CURLOPT_URL, server->url("/users/42").c_str());
    curl_easy_setopt(easy.get(), CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy.get(), CURLOPT_TIMEOUT_MS, 10'000L);
    const auto append = [](char* data, std::size_t size, std::size_t count, void* into) -> std::size_t {
        static_cast<std::string*>(into)->append(data, size * count);
        return size * count;
    };
    curl_easy_setopt(easy.get(), CURLOPT_WRITEFUNCTION, +append);
    curl_easy_setopt(easy.get(), CURLOPT_WRITEDATA, &body);
    measure(state, [&] {
        body.clear();
        if (curl_easy_perform(easy.get()) != CURLE_OK) state.SkipWithError("curl_easy_perform failed");
        benchmark::DoNotOptimize(body.data());
    });
}
BENCHMARK(hand_written_easy_handle)->UseRealTime();

void curl_transport(benchmark::State& state) {
    const bw::CurlTransport transport;
    const bw::Request request{.url = server->url("/users/42")};
    measure(state, [&] {
        auto response = transport.send(request);
        if (!response) state.SkipWithError("send failed");
        benchmark::DoNotOptimize(response);
    });
}
BENCHMARK(curl_transport)->UseRealTime();

void curl_transport_with_headers_and_stop_token(benchmark::State& state) {
    const bw::CurlTransport transport;
    const std::stop_source source;
    const bw::SendOptions options{.stop = source.get_token()};
    const bw::Request request{.url = server->url("/users/42"),
                              .headers = {{"Authorization", "Bearer 0123456789"}, {"Accept", "application/json"}}};
    measure(state, [&] {
        auto response = transport.send(request, options);
        if (!response) state.SkipWithError("send failed");
        benchmark::DoNotOptimize(response);
    });
}
BENCHMARK(curl_transport_with_headers_and_stop_token)->UseRealTime();

}  // namespace

int main(int argc, char** argv) {
    server.emplace(200);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    benchmark::Initialize(&argc, argv);
    benchmark::RunSpecifiedBenchmarks();
    server.reset();
}
