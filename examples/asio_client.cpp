// A client in a program that runs on Asio. One thread runs one io_context, and on it a server that fails every other
// time, a clock that ticks meanwhile, and calls of all kinds: awaited, with a callback, cancelled. About half a second.
#include <breakwater/asio.hpp>
#include <breakwater/resilient_client.hpp>

#include <asio/bind_cancellation_slot.hpp>
#include <asio/buffer.hpp>
#include <asio/cancellation_signal.hpp>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/read_until.hpp>
#include <asio/steady_timer.hpp>
#include <asio/use_awaitable.hpp>
#include <asio/write.hpp>

#include <chrono>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace bw = breakwater;
using namespace std::chrono_literals;
using asio::use_awaitable;
using asio::ip::tcp;

asio::awaitable<void> pause(std::chrono::milliseconds span) {
    asio::steady_timer timer{co_await asio::this_coro::executor, span};
    co_await timer.async_wait(use_awaitable);
}

/// Answers every other request, after 20 ms; never one for /slow.
asio::awaitable<void> serve(tcp::socket socket, int& requests) {
    std::string received;
    for (;;) {
        const auto size =
            co_await asio::async_read_until(socket, asio::dynamic_buffer(received), "\r\n\r\n", use_awaitable);
        const bool is_slow = received.starts_with("GET /slow");
        received.erase(0, size);
        ++requests;
        co_await pause(is_slow ? 1h : 20ms);
        const auto* answer = requests % 2 == 1 ? "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"
                                               : "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
        co_await asio::async_write(socket, asio::buffer(std::string_view{answer}), use_awaitable);
    }
}

asio::awaitable<void> accept(tcp::acceptor& acceptor, int& requests) {
    for (;;) {
        tcp::socket socket = co_await acceptor.async_accept(use_awaitable);
        asio::co_spawn(acceptor.get_executor(), serve(std::move(socket), requests), asio::detached);
    }
}

asio::awaitable<void> tick(int& ticks) {
    for (;; ++ticks) co_await pause(10ms);
}

/// Whether that is what came of a call.
bool show(std::string_view call, const bw::Result<bw::Response>& answer, std::optional<bw::Errc> expected = {}) {
    std::cout << call << ": " << (answer ? answer->body : answer.error().message()) << '\n';
    return answer ? !expected : answer.error().code() == expected;
}

asio::awaitable<bool> visit(asio::io_context& io, std::string url) {
    const bw::AsioClient client{
        bw::ResilientClient{bw::ClientOptions{.base_url = std::move(url), .retry = {.backoff = {.base = 50ms}}}}, io};
    bool is_good = show("awaited, with a retry", co_await client.async_get("/page", use_awaitable));

    const bw::RequestOptions hurried{.deadline = 100ms};
    const auto late = co_await client.async_get("/slow", hurried, use_awaitable);
    is_good &= show("with a deadline", late, bw::Errc::deadline_exceeded);

    asio::cancellation_signal enough;
    asio::steady_timer timer{io, 50ms};
    timer.async_wait([&](const asio::error_code&) { enough.emit(asio::cancellation_type::terminal); });
    const auto stopped = co_await client.async_get("/slow", asio::bind_cancellation_slot(enough.slot(), use_awaitable));
    co_return show("cancelled", stopped, bw::Errc::cancelled) && is_good;
}

int main() {
    asio::io_context io;
    tcp::acceptor acceptor{io, {asio::ip::address_v4::loopback(), 0}};
    int requests = 0, ticks = 0;
    bool is_good = false;
    asio::co_spawn(io, accept(acceptor, requests), asio::detached);
    asio::co_spawn(io, tick(ticks), asio::detached);
    asio::co_spawn(io, visit(io, "http://127.0.0.1:" + std::to_string(acceptor.local_endpoint().port())),
                   [&](const std::exception_ptr& thrown, bool good) {
                       is_good = !thrown && good;
                       io.stop();  // for the server and the clock would go on for ever
                   });
    io.run();
    std::cout << requests << " requests, while the clock ticked " << ticks << " times on the same thread\n";
    return is_good && ticks > 1 ? EXIT_SUCCESS : EXIT_FAILURE;
}
