#pragma once

#include <breakwater/transport/transport.hpp>

#include <condition_variable>
#include <coroutine>
#include <cstddef>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace test {

/// A coroutine that begins at once and that nobody waits for.
struct Detached {
    struct promise_type {
        Detached get_return_object() noexcept { return {}; }
        std::suspend_never initial_suspend() noexcept { return {}; }
        std::suspend_never final_suspend() noexcept { return {}; }
        void return_void() noexcept {}
        void unhandled_exception() noexcept { std::terminate(); }
    };
};

/// Asynchronous exchanges and what they came to, in the order they ended.
class AsyncCalls {
public:
    AsyncCalls() = default;
    ~AsyncCalls() { wait(started_); }
    AsyncCalls(const AsyncCalls&) = delete;
    AsyncCalls& operator=(const AsyncCalls&) = delete;

    struct Ended {
        breakwater::Result<breakwater::Response> result;
        std::thread::id thread{};
    };

    /// `transport` has to stay until the call has ended.
    template <breakwater::AsyncTransport T>
    void start(const T& transport, breakwater::Request request, breakwater::SendOptions options = {}) {
        ++started_;
        call(transport, std::move(request), std::move(options));
    }
    /// Waits until so many have ended.
    std::vector<Ended>& wait(std::size_t count) {
        std::unique_lock lock{mutex_};
        changed_.wait(lock, [&] { return ended_.size() >= count; });
        return ended_;
    }

private:
    template <class T>
    Detached call(const T& transport, breakwater::Request request, breakwater::SendOptions options) {
        auto result = co_await transport.async_send(request, options);
        const std::lock_guard lock{mutex_};
        ended_.push_back({std::move(result), std::this_thread::get_id()});
        changed_.notify_all();
    }

    std::size_t started_ = 0;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::vector<Ended> ended_;
};

/// The asynchronous face as a blocking one.
template <breakwater::AsyncTransport T>
breakwater::Result<breakwater::Response> send_async(const T& transport, breakwater::Request request,
                                                    breakwater::SendOptions options = {}) {
    AsyncCalls calls;
    calls.start(transport, std::move(request), std::move(options));
    return std::move(calls.wait(1).front().result);
}

}  // namespace test
