#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/rate_limiter/machine.hpp>
#include <breakwater/store/fleet/circuit_machine.hpp>
#include <breakwater/store/store.hpp>

#include <concepts>
#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>

namespace breakwater::fleet {

/// Asks for a cell's state. (What a store needs besides a machine's own commands.)
struct Read {};

/// What comes back for a command.
template <class M, class C>
struct AnswerTo {
    using type = DecisionOf<M, C>;
};
template <class M>
struct AnswerTo<M, Read> {
    using type = typename M::State;
};

/// One command for one of the server's cells. Refers to key and options: they must live until `Link::apply` returns.
template <class M, class C>
struct RemoteStep {
    using Machine = M;
    using Command = C;
    using Decision = typename AnswerTo<M, C>::type;

    std::string_view key;
    const typename M::Options& options;
    C command;
};
template <class M, class C>
RemoteStep<M, C> remote(std::string_view key, const typename M::Options& options, C command) {
    return {key, options, std::move(command)};
}

/// What the server decided on some steps taken as one: nothing for those after the first refusal.
template <class... S>
struct Answers {
    Instant now{};  ///< The server's time.
    std::tuple<std::optional<typename S::Decision>...> decisions{};
};

/// Why there is no answer.
struct LinkFailure {
    enum class Kind : std::uint8_t {
        unreachable,  ///< Nothing was sent.
        lost,         ///< No answer in time, or the connection broke: the command may have run.
        refused,      ///< The server cannot do it; `words` says why.
        unreadable,   ///< What the server keeps under this key is none of ours, or of a newer version.
        withdrawn,    ///< Something else that was asked in the same round was refused: nothing is taken.
    };
    Kind kind = Kind::unreachable;
    std::string words{};
};

template <class... S>
using Reply = std::expected<Answers<S...>, LinkFailure>;

/// What a link tells of by itself; on the link's thread, with nothing held.
class LinkEvents {
public:
    /// The server answers again, or for the first time.
    virtual void on_up() = 0;
    /// It does not: until `on_up` every command fails at once.
    virtual void on_down(std::string_view why) = 0;
    /// One of several servers does not; the others do.
    virtual void on_partly_down(std::string_view why) = 0;
    /// A server has forgotten what it kept.
    virtual void on_loss(std::string_view server) = 0;
    /// A circuit or a pause has changed at the server.
    virtual void on_circuit(std::string_view key, const CircuitView& view) = 0;
    virtual void on_pause(std::string_view key, PauseMachine::State state) = 0;
    /// Changes are told of again after a time in which some may have been missed; or are not told of (`why`).
    virtual void on_pushes(bool are_heard, std::string_view why) = 0;
    /// The instant of `wake_at` has come.
    virtual void on_timer() = 0;

protected:
    ~LinkEvents() = default;
};

/// A way to a server that keeps cells for many processes. A thread-safe object, shared by all that use it.
///
/// - `start(events)` begins to connect; called once, before anything else.
/// - `takes_together<M…>`: whether steps of these machines can be taken as one.
/// - `apply(done, steps…)` has the server take the steps in order as one, as `Store::apply` does, and calls
///   `done(Reply<steps…>)` exactly once, on any thread, with nothing held. Never blocks; when the server is down `done`
///   is called at once.
/// - Optional: `join(round, done, steps…)`, as `apply`, but when the round is sent, with all that has joined it by then
///   as far as it can be taken as one: of that, the first refusal undoes all the rest, which is `withdrawn`.
/// - `clock()` tells the server's time, as far as it is known here.
/// - `is_inherited()`: whether this is the child of a fork of the process that made the link, and has none.
/// - `is_own_thread()`: whether the caller is the link's own thread, which must not wait for an answer.
/// - `is_up()`: whether commands are sent. `patience()`: how long an answer can take.
/// - `read<M>(key, options, done)`: the state of a cell, as `done(std::expected<State, LinkFailure>)`.
/// - `watch(key)`: the events tell of changes of this cell from now on.
/// - `announce(stem, layout, done)`: this process keeps what begins with `stem` in that layout; `done(std::string_view
///   other)` is called if another one was announced within a day.
/// - `wake_at(t)`: calls `on_timer` at that instant of `clock()`, or a little later; the earliest one asked for holds.
/// - `get(key, done)`, `put(key, bytes, ttl)`, `erase(key)`: byte strings. `done(std::optional<std::string>)`.
///   `claim(key, ttl, done)`: keeps a mark there unless something is; `done(bool)`: false if so. `why_no_blobs()`:
///   empty if there are such.
/// - `instance()`: the number of this process, below 2^52; `instances()`: how many were seen lately, this one included.
template <class L>
concept Link = requires(L& link, LinkEvents& events, Instant t, std::string_view key, std::string bytes, Duration ttl,
                        const CountingMachine::Options& options) {
    requires Clock<std::remove_cvref_t<decltype(link.clock())>>;
    link.start(events);
    link.apply([](Reply<RemoteStep<CountingMachine, CountingMachine::Add>>) {},
               remote<CountingMachine>(key, options, CountingMachine::Add{}));
    { link.is_inherited() } noexcept -> std::same_as<bool>;
    { link.is_own_thread() } noexcept -> std::same_as<bool>;
    { link.is_up() } noexcept -> std::same_as<bool>;
    { link.patience() } noexcept -> std::same_as<Duration>;
    link.template read<CountingMachine>(key, options, [](std::expected<CountingMachine::State, LinkFailure>) {});
    link.watch(key);
    link.announce(key, key, [](std::string_view) {});
    link.wake_at(t);
    link.get(key, [](const std::optional<std::string>&) {});
    link.put(key, std::move(bytes), ttl);
    link.erase(key);
    link.claim(key, ttl, [](bool) {});
    { link.why_no_blobs() } noexcept -> std::same_as<std::string_view>;
    { link.instance() } noexcept -> std::same_as<std::uint64_t>;
    { link.instances() } noexcept -> std::same_as<std::uint32_t>;
};

}  // namespace breakwater::fleet
