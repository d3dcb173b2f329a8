#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/store/fleet/link.hpp>
#include <breakwater/task.hpp>
#include <breakwater/task/round.hpp>
#include <breakwater/task/sleep.hpp>

#include <expected>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string_view>
#include <tuple>
#include <type_traits>
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

/// An answer, at most `patience` after it was asked for; in a round, that is when all of it is.
template <class Answer>
Task<Answer> answer_of(std::shared_ptr<Arrival<Answer>> arrival, Duration patience, Round* round = nullptr) {
    if (round != nullptr) co_await round->sent();
    auto brought = arrival_of(std::move(arrival), patience);
    if (auto answer = co_await brought) co_return *std::move(answer);
    co_return std::unexpected{LinkFailure{LinkFailure::Kind::lost, "no answer in time"}};
}

/// What the server decided on the one step that it was asked to take.
template <class S>
std::expected<typename S::Decision, LinkFailure> only(Reply<S> reply) {
    if (!reply) return std::unexpected{std::move(reply.error())};
    return std::get<0>(std::move(reply->decisions)).value();
}

/// Has the server take the steps: with all else that is asked in the round if there is an open one, or now. The task
/// waits for what `read(reply)` gives, at most for `link.patience()`.
template <class Read, class L, class... S>
auto ask_for(Round* round, Read read, L& link, const S&... steps) {
    using Answer = std::invoke_result_t<Read&, Reply<S...>>;
    const auto arrival = std::make_shared<Arrival<Answer>>();
    auto bring = [arrival, read](Reply<S...> reply) { arrival->bring(read(std::move(reply))); };
    if constexpr (requires { link.join(*round, bring, steps...); }) {
        if (round != nullptr && round->is_open()) {
            link.join(*round, std::move(bring), steps...);
            return answer_of(arrival, link.patience(), round);
        }
    }
    link.apply(std::move(bring), steps...);
    return answer_of(arrival, link.patience());
}
template <class L, class... S>
Task<Reply<S...>> ask(Round* round, L& link, const S&... steps) {
    return ask_for(round, [](Reply<S...> reply) { return reply; }, link, steps...);
}
template <class L, class... S>
Task<Reply<S...>> ask(L& link, const S&... steps) {
    return ask(static_cast<Round*>(nullptr), link, steps...);
}

/// As `ask`, for one step.
template <class L, class S>
Task<std::expected<typename S::Decision, LinkFailure>> ask_one(Round* round, L& link, const S& step) {
    return ask_for(round, &only<S>, link, step);
}
template <class L, class S>
Task<std::expected<typename S::Decision, LinkFailure>> ask_one(L& link, const S& step) {
    return ask_one(nullptr, link, step);
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
