// Fetches 10,000 pages of a slow, flaky web server, 1,000 at a time, on one thread: crawl [--quick]. A few seconds.
#include "histogram.hpp"
#include "progress.hpp"
#include "slow_server.hpp"

#include <breakwater/resilient_client.hpp>
#include <breakwater/task/start.hpp>
#include <breakwater/task/when_all.hpp>

#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <future>
#include <iostream>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace crawl {

namespace bw = breakwater;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

struct Crawl {
    std::size_t pages = 10'000;
    std::size_t at_once = 1'000;

    // What the thread that shows the progress reads meanwhile.
    std::atomic<std::size_t> next{0}, done{0};

    // What only the thread knows that the calls go on by, until all is done.
    std::size_t answered = 0, retried = 0, failed = 0;
    std::set<std::thread::id> threads{};
    Histogram latencies{};
};

/// One of the `at_once`: fetches a page, then the next that nobody has fetched, until there is none left.
bw::Task<> fetch_pages(bw::ResilientClient<> client, Crawl& crawl) {
    for (std::size_t page = crawl.next++; page < crawl.pages; page = crawl.next++) {
        const auto began = Clock::now();
        const auto answer = co_await client.async_get("/pages/" + std::to_string(page));
        crawl.latencies.add(Clock::now() - began);
        crawl.threads.insert(std::this_thread::get_id());
        ++(answer ? crawl.answered : crawl.failed);
        if ((answer ? answer->timeline.size() : answer.error().attempts()) > 1) ++crawl.retried;
        ++crawl.done;
    }
}

bw::ClientOptions options(std::string url) {
    return {.name = "crawl",
            .base_url = std::move(url),
            .timeouts = {.attempt = 2s, .connect = 2s, .deadline = 20s},
            // Two pages in a hundred fail: that is how this server is, and no reason to leave it alone.
            .circuit_breaker = {.trip = bw::FailureRate{.ratio = 0.5, .minimum_calls = 50}},
            .retry = {.max_retries = 4, .backoff = {.base = 50ms, .cap = 500ms}},
            .retry_budget = {.burst = 200}};  // pages that hang are given up together
}

/// As many descriptors as the system allows: each page in flight has a connection.
void allow_many_connections() {
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
}

int run(bool is_quick) {
    allow_many_connections();
    const SlowServer server;
    Crawl crawl;
    if (is_quick) crawl.pages = 1'000, crawl.at_once = 200;
    std::cout << crawl.pages << " pages, " << crawl.at_once << " at a time\n" << std::flush;

    const bw::ResilientClient client{options(server.url())};
    std::vector<bw::Task<>> crawlers;
    crawlers.reserve(crawl.at_once);
    for (std::size_t i = 0; i < crawl.at_once; ++i) crawlers.push_back(fetch_pages(client, crawl));
    const auto began = Clock::now();
    auto all = bw::as_future(bw::when_all(std::move(crawlers)));

    const Progress progress{crawl.pages};
    while (all.wait_for(progress.pause()) != std::future_status::ready) {
        const std::size_t done = crawl.done;
        progress.show(done, std::min(crawl.at_once, crawl.pages - done));
    }
    (void)all.get();
    const std::chrono::duration<double> took = Clock::now() - began;
    progress.end(crawl.done);

    std::cout << "\nHow long a page took, with its retries and the waits between them\n" << crawl.latencies.text();
    std::cout << "\n  answered  " << crawl.answered << "\n  retried   " << crawl.retried << "\n  failed    "
              << crawl.failed << "\n  time      " << bw::format_duration(std::chrono::duration_cast<bw::Duration>(took))
              << ", " << static_cast<long>(static_cast<double>(crawl.pages) / took.count()) << " pages per second"
              << "\n  threads   " << crawl.threads.size() << '\n';
    const bool is_complete = crawl.answered + crawl.failed == crawl.pages && crawl.threads.size() == 1;
    return is_complete ? EXIT_SUCCESS : EXIT_FAILURE;
}

}  // namespace crawl

int main(int count, char** words) {
    const bool is_quick = count == 2 && std::string_view{words[1]} == "--quick";
    if (count > 1 && !is_quick) {
        std::cerr << "usage: crawl [--quick]\n";
        return 2;
    }
    return crawl::run(is_quick);
}
