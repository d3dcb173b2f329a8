// Asynchronous calls on an io_context, by Asio's completion tokens, against a real server on loopback.
#include "raw_server.hpp"

#include <breakwater/asio.hpp>
#include <breakwater/resilient_client.hpp>
#include <breakwater/task/sleep.hpp>

#include <catch_shim.hpp>
#include <soon.hpp>

#include <asio/bind_allocator.hpp>
#include <asio/bind_cancellation_slot.hpp>
#include <asio/cancellation_signal.hpp>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/use_awaitable.hpp>
#include <asio/use_future.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace bw = breakwater;
using namespace std::chrono_literals;
using Answer = bw::Result<bw::Response>;

namespace {

/// `/flaky` fails every other time, `/slow` hangs, `/dead` fails, all else is answered at once.
class Service {
public:
    Service()
        : server_{bw::test::RawServer::http([this](bw::test::Connection& c, const std::string& request) {
              ++requests;
              if (request.starts_with("GET /slow")) return c.wait_for_close(), ++left, false;
              if (request.starts_with("GET /flaky") && ++tries_ % 2 == 1) return c.send(bw::test::answer(503, "no"));
              if (request.starts_with("GET /dead")) return c.send(bw::test::answer(500, "dead"));
              return c.send(bw::test::answer(200, "7"));
          })} {}

    bw::ClientOptions options() const {
        return {.name = "service",
                .base_url = server_->url(""),
                .circuit_breaker = {.trip = bw::never},
                .retry = {.max_retries = 3, .backoff = {.base = 2ms, .cap = 5ms}},
                .retry_budget = {.ratio = std::nullopt}};
    }
    /// Sleeps for an hour after the first failure.
    bw::ClientOptions patient() const {
        auto patient = options();
        patient.retry.backoff = {.base = 1h, .cap = 1h, .jitter = bw::Jitter::none};
        patient.timeouts.deadline = 24h;
        return patient;
    }

    std::atomic<int> requests = 0;
    std::atomic<int> left = 0;

private:
    std::atomic<int> tries_ = 0;
    std::unique_ptr<bw::test::RawServer> server_;
};

/// Allocates as the standard allocator does, and counts what is there.
template <class T>
struct Counting {
    using value_type = T;
    explicit Counting(std::atomic<int>& all) noexcept : count{&all} {}
    template <class U>
    Counting(const Counting<U>& other) noexcept : count{other.count} {}
    T* allocate(std::size_t n) { return ++*count, std::allocator<T>{}.allocate(n); }
    void deallocate(T* p, std::size_t n) noexcept { std::allocator<T>{}.deallocate(p, n); }
    friend bool operator==(const Counting&, const Counting&) = default;
    std::atomic<int>* count;
};

asio::awaitable<void> ask(bw::AsioClient<bw::ResilientClient<>> client, std::vector<std::thread::id>& threads,
                          std::vector<Answer>& answers) {
    answers.push_back(co_await client.async_get("/flaky", asio::use_awaitable));
    threads.push_back(std::this_thread::get_id());
    const bw::RequestOptions options{.deadline = 50ms};
    answers.push_back(co_await client.async_get("/slow", options, asio::use_awaitable));
    threads.push_back(std::this_thread::get_id());
    const auto number = co_await client.async_get_as<int>("/a", asio::use_awaitable);
    CHECK(number.value() == 7);
}

}  // namespace

TEST_CASE("a coroutine of Asio's awaits calls, and all of it but the transfer is on the io_context's thread") {
    Service service;
    std::mutex mutex;
    std::set<std::thread::id> observed;
    int retries = 0;
    auto options = service.options();
    options.observer = [&](const bw::Event& event) {
        const std::scoped_lock lock{mutex};
        observed.insert(std::this_thread::get_id());
        retries += event.kind == bw::EventKind::retry_scheduled;
    };
    asio::io_context io;
    std::vector<std::thread::id> threads;
    std::vector<Answer> answers;
    asio::co_spawn(io, ask(bw::AsioClient{bw::ResilientClient{options}, io}, threads, answers), asio::detached);
    io.run();  // returns when all is done, and not before
    REQUIRE(answers.size() == 2);
    REQUIRE(answers[0]);
    CHECK(answers[0]->timeline.size() == 2);
    REQUIRE_FALSE(answers[1]);
    CHECK(answers[1].error().code() == bw::Errc::deadline_exceeded);
    const std::thread::id here = std::this_thread::get_id();
    CHECK(threads == std::vector{here, here});
    CHECK(retries == 1);
    CHECK(observed == std::set{here});
}

TEST_CASE("a callback is called by its own executor with its own allocator, and what it throws leaves run") {
    Service service;
    asio::io_context io;
    asio::io_context other;
    const bw::AsioClient client{bw::ResilientClient{service.options()}, io};
    std::atomic<int> allocations = 0;
    std::optional<int> status;
    auto allocating =
        asio::bind_allocator(Counting<char>{allocations}, [&](Answer answer) { status = answer->status; });
    client.async_get("/a", {.headers = {{"Accept", "text/plain"}}}, asio::bind_executor(other, std::move(allocating)));
    auto guard = asio::make_work_guard(other);
    io.run();
    guard.reset();
    CHECK_FALSE(status);
    CHECK(allocations > 0);
    other.run();
    CHECK(status == 200);

    client.async_get("//elsewhere", [](Answer answer) { bw::throw_error(answer.error()); });  // ends where it begins
    io.restart();
    CHECK_THROWS_AS(io.run(), bw::Exception);
    io.restart();
    CHECK(io.run() == 0);
}

TEST_CASE("a signal of the cancellation slot ends a transfer and a backoff") {
    Service service;
    asio::io_context io;
    std::vector<bw::Errc> ends;
    const auto note = [&](Answer answer) { ends.push_back(answer ? bw::Errc::failure : answer.error().code()); };
    asio::cancellation_signal transfer;
    asio::cancellation_signal backoff;
    const bw::AsioClient client{bw::ResilientClient{service.options()}, io};
    client.async_get("/slow", asio::bind_cancellation_slot(transfer.slot(), note));
    const bw::AsioClient patient{bw::ResilientClient{service.patient()}, io};
    patient.async_get("/dead", asio::bind_cancellation_slot(backoff.slot(), note));
    REQUIRE(test::soon([&] { return io.poll(), service.requests == 2; }));
    transfer.emit(asio::cancellation_type::total);  // not to be had: the request is sent
    bool is_answered = false;
    client.async_get("/a", [&](const Answer&) { is_answered = true; });
    CHECK(test::soon([&] { return io.poll(), is_answered; }));
    CHECK(ends.empty());
    transfer.emit(asio::cancellation_type::terminal);
    backoff.emit(asio::cancellation_type::partial);
    io.run();
    CHECK(ends == std::vector{bw::Errc::cancelled, bw::Errc::cancelled});
    CHECK(test::soon([&] { return service.left == 1; }));
    backoff.emit(asio::cancellation_type::terminal);  // nobody is there
}

TEST_CASE("an io_context that is destroyed ends what is under way, and its handlers uncalled") {
    Service service;
    const bw::ResilientClient client{service.options()};
    const bw::ResilientClient patient{service.patient()};
    const auto alive = std::make_shared<bool>(true);
    std::optional<asio::io_context> io{std::in_place};
    bool is_called = false;
    std::atomic<bool> is_over = false;
    bw::AsioClient{client, *io}.async_get("/slow", [&, alive](Answer) { is_called = true; });
    auto later = bw::AsioClient{patient, *io}.async_get("/dead", asio::use_future);
    asio::co_spawn(
        *io,
        [own = alive, c = bw::AsioClient{client, *io}]() -> asio::awaitable<void> {
            (void)co_await c.async_get("/slow", asio::use_awaitable);
        },
        asio::detached);
    auto sleep = [](std::atomic<bool>& over) -> bw::Task<> {
        (void)co_await bw::sleep_for(1h);
        (void)co_await bw::sleep_for(1ms);  // there is a timer still
        over = true;
    };
    bw::async_start(*io, sleep(is_over), [&](std::exception_ptr) { is_called = true; });
    REQUIRE(test::soon([&] { return io->poll(), service.requests == 3; }));
    io.reset();
    CHECK(alive.use_count() == 1);
    CHECK_FALSE(is_called);
    CHECK_THROWS_AS(later.get(), std::future_error);
    CHECK(test::soon([&] { return service.left == 2 && is_over; }));
}

TEST_CASE("several threads run the io_context, and the calls are made in turns") {
    Service service;
    asio::io_context io;
    const bw::AsioClient client{bw::ResilientClient{service.options()}, io};
    std::vector<std::future<Answer>> answers;
    for (int i = 0; i < 100; ++i) answers.push_back(client.async_get("/flaky", asio::use_future));
    std::atomic<int> called = 0;
    for (int i = 0; i < 100; ++i) client.async_get("/a", [&](const Answer&) { ++called; });
    {
        std::jthread second{[&] { io.run(); }};
        io.run();
    }
    CHECK(called == 100);
    int good = 0;
    for (auto& answer : answers) good += answer.get().has_value();
    CHECK(good > 80);
}

TEST_CASE("any task is started for a token, with its value or its exception") {
    asio::io_context io;
    auto half = [](int n) -> bw::Task<int> {
        (void)co_await bw::sleep_for(1ms);
        if (n % 2 != 0) throw std::domain_error{"odd"};
        co_return n / 2;
    };
    auto check = [](bw::Task<int> own) -> bw::Task<bw::Result<void>> {
        (void)co_await own;
        co_return {};
    };
    auto four = bw::async_start(io, half(8), asio::use_future);
    auto odd = bw::async_start(io, half(3), asio::use_future);
    auto failed = bw::async_start(io, check(half(5)), asio::use_future);
    bool is_done = false;
    bw::async_start(io, bw::Task<>{[]() -> bw::Task<> { co_return; }()},
                    [&](std::exception_ptr thrown) { is_done = !thrown; });
    CHECK_FALSE(is_done);
    io.run();
    CHECK(is_done);
    CHECK(four.get() == 4);
    CHECK_THROWS_AS(odd.get(), std::domain_error);
    CHECK(failed.get().error().code() == bw::Errc::exception);
}
