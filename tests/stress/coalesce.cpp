// Threads and coroutines that ask for the same at the same time, and leave when they like.
#include <breakwater/coalesce.hpp>
#include <breakwater/pipeline.hpp>
#include <breakwater/task/sleep.hpp>
#include <breakwater/task/start.hpp>

#include <catch_shim.hpp>
#include <sanitized.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <random>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::Errc;

TEST_CASE("whoever asks gets the answer to the own question, or left") {
    constexpr std::size_t threads = 4;
    constexpr int calls = test::under_thread_sanitizer ? 300 : 2'000;
    const bw::Coalesce<std::string> coalesce;
    const bw::Pipeline guard{coalesce};
    std::atomic<int> runs = 0;
    std::atomic<int> wrong = 0;
    std::atomic<int> left = 0;

    const auto work = [&](std::size_t number) {
        std::minstd_rand random{static_cast<unsigned>(number + 1)};
        for (int i = 0; i < calls; ++i) {
            const std::string key(1, static_cast<char>('a' + random() % 3));
            std::stop_source stop;
            const bool leaves = random() % 4 == 0;
            if (leaves && random() % 2 == 0) stop.request_stop();
            bw::Result<std::string> answer = bw::fail(Errc::failure);
            if (random() % 2 == 0) {
                answer = guard.run(
                    [&](std::stop_token token) -> bw::Result<std::string> {
                        ++runs;
                        if (leaves) stop.request_stop();
                        std::this_thread::yield();
                        if (token.stop_requested()) return bw::fail(Errc::cancelled);
                        return key;
                    },
                    {.stop = stop.get_token(), .key = key});
            } else {
                auto call = guard.run_async(
                    [&]() -> bw::Task<bw::Result<std::string>> {
                        ++runs;
                        if (leaves) stop.request_stop();
                        if (co_await bw::sleep_for(10us) == bw::Wait::stopped) co_return bw::fail(Errc::cancelled);
                        co_return key;
                    },
                    {.stop = stop.get_token(), .key = key});
                answer = bw::sync_wait(bw::Task<bw::Result<std::string>>{std::move(call)});
            }
            if (answer)
                wrong += *answer != key;
            else if (answer.error().code() == Errc::cancelled && leaves)
                ++left;
            else
                ++wrong;
        }
    };
    {
        std::vector<std::jthread> all;
        for (std::size_t i = 0; i < threads; ++i) all.emplace_back(work, i);
    }
    CHECK(wrong == 0);
    CHECK(left > 0);
    CHECK(runs < static_cast<int>(threads) * calls);
    CHECK(coalesce.in_flight() == 0);
}
