#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/store/store.hpp>

#include <concepts>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

namespace breakwater {

/// A store that may fail: of `Store` it has what cannot (`clock`, `cell`, `is_deferred`, perhaps `glance`), and the
/// rest as tries. A try gives nothing (false), or throws, if the store could not do it.
///
/// - `try_apply(now, steps...)` is `apply`. If it gives nothing, no command was run, or only on copies: what fails when
///   commands have been run is for the next try to tell.
/// - `try_peek(cell)`, `try_put`, `try_get`; what is put for no time is erased.
/// - An empty name need not give a cell that nobody else finds: `LocalFallback` never asks for one.
/// - Optional: `latest(cell)`: the state as the last try here left it, without asking. Does not throw.
template <class S>
concept FallibleStore = std::copyable<S> && requires(const S& store, const CountingMachine::Options& options,
                                                     std::string_view text, std::string bytes, Duration ttl) {
    requires Clock<std::remove_cvref_t<decltype(store.clock())>>;
    { S::is_deferred } -> std::convertible_to<bool>;
    { *store.template cell<CountingMachine>(text, text, options) };
    requires requires(typename S::template Cell<CountingMachine>& cell,
                      LazyNow<std::remove_cvref_t<decltype(store.clock())>>& now) {
        {
            store.try_apply(now, Step{cell, options, CountingMachine::Add{}})
        } -> std::same_as<std::optional<std::tuple<std::optional<bool>>>>;
        { store.try_peek(cell) } -> std::same_as<std::optional<CountingMachine::State>>;
    };
    { store.try_put(text, std::move(bytes), ttl) } -> std::same_as<bool>;
    { store.try_get(text) } -> std::same_as<std::optional<std::shared_ptr<const std::string>>>;
};

}  // namespace breakwater
