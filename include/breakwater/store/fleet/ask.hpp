#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/store/fleet/link.hpp>

#include <chrono>
#include <condition_variable>
#include <expected>
#include <memory>
#include <mutex>
#include <optional>
#include <string_view>
#include <utility>

namespace breakwater::fleet {

/// A thread waits here for what another one brings.
template <class T>
class Rendezvous {
public:
    void bring(T value) {
        {
            const std::scoped_lock lock{mutex_};
            value_.emplace(std::move(value));
        }
        brought_.notify_one();
    }
    /// What was brought, or nothing if that took longer than `patience`.
    std::optional<T> wait(Duration patience) {
        std::unique_lock lock{mutex_};
        brought_.wait_for(lock, patience, [this] { return value_.has_value(); });
        return std::exchange(value_, std::nullopt);
    }

private:
    std::mutex mutex_;
    std::condition_variable brought_;
    std::optional<T> value_;
};

/// Has the server take the steps, and waits for its answer: at most `link.patience()`.
template <class L, class... S>
Reply<S...> ask(L& link, const S&... steps) {
    const auto answer = std::make_shared<Rendezvous<Reply<S...>>>();
    link.apply([answer](Reply<S...> reply) { answer->bring(std::move(reply)); }, steps...);
    if (auto reply = answer->wait(link.patience())) return *std::move(reply);
    return std::unexpected{LinkFailure{LinkFailure::Kind::lost, "no answer in time"}};
}

/// As `ask`, for a cell's state.
template <class M, class L>
std::expected<typename M::State, LinkFailure> ask_state(L& link, std::string_view key,
                                                        const typename M::Options& options) {
    using Answer = std::expected<typename M::State, LinkFailure>;
    const auto answer = std::make_shared<Rendezvous<Answer>>();
    link.template read<M>(key, options, [answer](Answer state) { answer->bring(std::move(state)); });
    if (auto state = answer->wait(link.patience())) return *std::move(state);
    return std::unexpected{LinkFailure{LinkFailure::Kind::lost, "no answer in time"}};
}

}  // namespace breakwater::fleet
