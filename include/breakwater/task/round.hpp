#pragma once

#include <breakwater/task.hpp>
#include <breakwater/task/context.hpp>
#include <breakwater/task/detached.hpp>
#include <breakwater/task/when_all.hpp>

#include <algorithm>
#include <array>
#include <coroutine>
#include <cstddef>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

namespace breakwater {

/// What several tasks ask as they begin side by side, so that a server that is asked more than once is asked as one.
///
/// A task that finds an open round in its context puts its question into a batch of it and awaits `sent()`. When all
/// have begun, the batches are sent. For the thread that begins them: to others it is closed.
class Round {
public:
    /// Questions that go to one place together.
    class Batch {
    public:
        Batch() = default;
        Batch(const Batch&) = delete;
        Batch& operator=(const Batch&) = delete;
        virtual ~Batch() = default;
        virtual void send() = 0;
    };

    bool is_open() const noexcept { return std::this_thread::get_id() == thread_ && is_open_; }

    /// The first batch of this kind that `fits(batch)`, or else what `make()` gives.
    template <class B, class Fits, class Make>
    B& batch(Fits fits, Make make) {
        for (const auto& batch : batches_)
            if (B* const own = dynamic_cast<B*>(batch.get()); own != nullptr && fits(*own)) return *own;
        auto made = make();
        B& own = *made;
        batches_.push_back(std::move(made));
        return own;
    }

    /// Sends what has been asked; who has asked goes on, to wait for the answer.
    void send() {
        is_open_ = false;
        for (const auto& batch : batches_) batch->send();
        for (const auto asker : std::exchange(askers_, {})) asker.resume();
    }

    class Sent {
    public:
        explicit Sent(Round& round) noexcept : round_{round} {}
        bool await_ready() const noexcept { return !round_.is_open_; }
        void await_suspend(std::coroutine_handle<> asker) { round_.askers_.push_back(asker); }
        static void await_resume() noexcept {}

    private:
        Round& round_;
    };
    /// `co_await round.sent()`: until `send`.
    Sent sent() noexcept { return Sent{*this}; }

    /// Held while a task of the round uses what all share that are in it (see `then`): their answers may come on
    /// several threads.
    std::mutex& mutex() noexcept { return mutex_; }

private:
    const std::thread::id thread_ = std::this_thread::get_id();
    bool is_open_ = true;
    std::vector<std::unique_ptr<Batch>> batches_;
    std::vector<std::coroutine_handle<>> askers_;
    std::mutex mutex_;
};

/// Runs those of the tasks that are there side by side, as one round; they are gone from the array when it has begun.
/// Gives their values, each in its place.
template <class T, std::size_t N>
Task<std::array<std::optional<T>, N>> run_as_round(std::array<std::optional<Task<T>>, N>& tasks) {
    const TaskContext* const outer = co_await detail::ReadContext{};
    Round round;
    TaskContext context{*outer};
    context.round = &round;
    std::array<std::optional<detail::TaskOutcome<T>>, N> outcomes;
    detail::Join join{static_cast<std::size_t>(std::ranges::count_if(tasks, [](const auto& task) { return !!task; }))};
    auto arrive = [&join] { join.arrive(); };
    auto begin = [&] {
        for (std::size_t i = 0; i < N; ++i) {
            if (!tasks[i]) continue;
            Task<T> task = *std::exchange(tasks[i], std::nullopt);
            detail::TaskOutcome<T>::fill(context, std::move(task), outcomes[i].emplace(), arrive);
        }
        round.send();
    };
    co_await join.after(begin);
    std::array<std::optional<T>, N> values;
    for (std::size_t i = 0; i < N; ++i)
        if (outcomes[i]) values[i] = outcomes[i]->take();
    co_return values;
}

}  // namespace breakwater
