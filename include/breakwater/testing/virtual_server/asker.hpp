#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/rate_limiter/machine.hpp>
#include <breakwater/store/fleet/link.hpp>
#include <breakwater/store/store.hpp>

#include <cstddef>
#include <expected>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

namespace breakwater::testing {

/// A cell of the server's, which tells of its changes.
template <class M, class Server>
struct VirtualCell {
    using Machine = M;
    Server& server;
    std::string key;

    template <class Command>
    auto apply(const typename M::Options& options, const Command& command, Instant now) {
        auto& state = server.template state<M>(key, options);
        if constexpr (requires { M::view(state, options, now); }) {
            const auto before = M::view(state, options, now);
            const auto decision = M::apply(state, options, command, now);
            const auto after = M::view(state, options, now);
            const bool is_told = before.generation != after.generation || before.phase != after.phase ||
                                 (before.counts.failures == 0) != (after.counts.failures == 0);
            if (is_told) server.publish(key, after);
            return decision;
        } else if constexpr (std::is_same_v<M, PauseMachine>) {
            const auto before = state;
            const auto decision = M::apply(state, options, command, now);
            if (!(state == before)) server.publish(key, state);
            return decision;
        } else {
            return M::apply(state, options, command, now);
        }
    }
};

/// Who has asked a server to take some steps.
class VirtualAsker {
public:
    VirtualAsker() = default;
    VirtualAsker(const VirtualAsker&) = delete;
    VirtualAsker& operator=(const VirtualAsker&) = delete;
    virtual ~VirtualAsker() = default;
    /// False if one of the steps is refused; then none is taken.
    virtual bool take(Instant now) = 0;
    virtual void undo(Instant now) = 0;
    /// What was decided.
    virtual void tell() = 0;
    virtual void tell(fleet::LinkFailure failure) = 0;
};

template <class Server, class Done, class... Steps>
class VirtualAskerOf;
template <class Server, class Done, class... M, class... Commands>
class VirtualAskerOf<Server, Done, fleet::RemoteStep<M, Commands>...> final : public VirtualAsker {
    using Reply = fleet::Reply<fleet::RemoteStep<M, Commands>...>;

public:
    VirtualAskerOf(Server& server, Done done, const fleet::RemoteStep<M, Commands>&... steps)
        : done_{std::move(done)},
          options_{steps.options...},
          cells_{VirtualCell<M, Server>{server, std::string{steps.key}}...},
          commands_{steps.command...} {}

    bool take(Instant now) override {
        answers_.now = now;
        return with_steps([&](const auto&... steps) {
            answers_.decisions = apply_in_order(taken_at(now), steps...);
            return std::apply([&](const auto&... own) { return (breakwater::detail::is_taken(steps, own) && ...); },
                              answers_.decisions);
        });
    }
    void undo(Instant now) override {
        with_steps([&](const auto&... steps) { undo_taken(taken_at(now), answers_.decisions, steps...); });
    }
    void tell() override { done_(Reply{std::move(answers_)}); }
    void tell(fleet::LinkFailure failure) override { done_(Reply{std::unexpected{std::move(failure)}}); }

private:
    static auto taken_at(Instant now) {
        return [now](const auto& step) { return step.cell.apply(step.options, step.command, now); };
    }
    template <class F>
    auto with_steps(F use) {
        return [&]<std::size_t... I>(std::index_sequence<I...>) {
            return use(Step{std::get<I>(cells_), std::get<I>(options_), std::get<I>(commands_)}...);
        }(std::index_sequence_for<M...>{});
    }

    Done done_;
    std::tuple<typename M::Options...> options_;
    std::tuple<VirtualCell<M, Server>...> cells_;
    std::tuple<Commands...> commands_;
    fleet::Answers<fleet::RemoteStep<M, Commands>...> answers_;
};

}  // namespace breakwater::testing
