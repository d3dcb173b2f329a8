#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/store/fleet/link.hpp>
#include <breakwater/task.hpp>
#include <breakwater/task/sleep.hpp>

#include <expected>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string_view>
#include <tuple>
#include <utility>

namespace breakwater::fleet {

/// What another thread brings, once.
template <class T>
class Arrival {
public:
    void bring(T value) {
        {
            const std::scoped_lock lock{mutex_};
            value_.emplace(std::move(value));
        }
        is_there_.request_stop();
    }
    /// What was brought, or nothing.
    std::optional<T> take() {
        const std::scoped_lock lock{mutex_};
        return std::exchange(value_, std::nullopt);
    }
    /// Stopped when it is there.
    std::stop_token is_there() const noexcept { return is_there_.get_token(); }

private:
    std::mutex mutex_;
    std::optional<T> value_;
    std::stop_source is_there_;
};

/// Waits until the token is stopped, at most for so long.
inline auto until_stopped(const std::stop_token& token, Duration patience) {
    const SteadyClock clock;
    return sleep_until(clock, clock.now() + patience, token);
}

/// What is brought, or nothing if that takes longer than `patience`.
template <class T>
Task<std::optional<T>> arrival_of(std::shared_ptr<Arrival<T>> arrival, Duration patience) {
    auto wait = until_stopped(arrival->is_there(), patience);
    co_await wait;
    co_return arrival->take();
}

template <class Answer>
Task<Answer> answer_of(std::shared_ptr<Arrival<Answer>> arrival, Duration patience) {
    auto brought = arrival_of(std::move(arrival), patience);
    if (auto answer = co_await brought) co_return *std::move(answer);
    co_return std::unexpected{LinkFailure{LinkFailure::Kind::lost, "no answer in time"}};
}

/// Has the server take the steps, now; the task waits for its answer, at most for `link.patience()`.
template <class L, class... S>
Task<Reply<S...>> ask(L& link, const S&... steps) {
    const auto arrival = std::make_shared<Arrival<Reply<S...>>>();
    link.apply([arrival](Reply<S...> reply) { arrival->bring(std::move(reply)); }, steps...);
    return answer_of(arrival, link.patience());
}

/// What the server decided on the one step that it was asked to take.
template <class S>
std::expected<typename S::Decision, LinkFailure> only(Reply<S> reply) {
    if (!reply) return std::unexpected{std::move(reply.error())};
    return std::get<0>(std::move(reply->decisions)).value();
}

/// As `ask`, for one step.
template <class L, class S>
Task<std::expected<typename S::Decision, LinkFailure>> ask_one(L& link, const S& step) {
    const auto arrival = std::make_shared<Arrival<std::expected<typename S::Decision, LinkFailure>>>();
    link.apply([arrival](Reply<S> reply) { arrival->bring(only(std::move(reply))); }, step);
    return answer_of(arrival, link.patience());
}

/// As `ask`, for a cell's state.
template <class M, class L>
Task<std::expected<typename M::State, LinkFailure>> ask_state(L& link, std::string_view key,
                                                              const typename M::Options& options) {
    using Answer = std::expected<typename M::State, LinkFailure>;
    const auto arrival = std::make_shared<Arrival<Answer>>();
    link.template read<M>(key, options, [arrival](Answer state) { arrival->bring(std::move(state)); });
    return answer_of(arrival, link.patience());
}

}  // namespace breakwater::fleet
