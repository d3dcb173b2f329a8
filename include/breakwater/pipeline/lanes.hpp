#pragma once

#include <breakwater/detail/rare.hpp>

#include <cstddef>
#include <memory>
#include <tuple>
#include <type_traits>
#include <utility>

namespace breakwater::detail {

/// Room for the lanes of the policies from `First` to the one before `Last`. Each lane is there only while the call is
/// inside its policy, and goes on every way out, the innermost first.
template <std::size_t First, std::size_t Last, class... P>
class Lanes {
public:
    template <std::size_t I>
    using Index = std::integral_constant<std::size_t, I>;
    template <std::size_t I>
    using PolicyAt = std::tuple_element_t<I, std::tuple<P...>>;

    Lanes() = default;
    Lanes(const Lanes&) = delete;
    Lanes& operator=(const Lanes&) = delete;
    ~Lanes() {
        while (inside_ > First) at(--inside_, [&]<std::size_t I>(Index<I>) { end<I>(); });
    }

    /// Calls `use(Index<number>{})`.
    template <class F>
    static void at(std::size_t number, F use) {
        [&]<std::size_t... I>(std::index_sequence<I...>) {
            (void)((number == First + I && (use(Index<First + I>{}), true)) || ...);
        }(std::make_index_sequence<Last - First>{});
    }

    template <std::size_t I>
    [[gnu::always_inline]] auto& lane() noexcept {
        return room<I>().lane;
    }
    /// Of a policy that has a queue: empty while the call is not in it.
    template <std::size_t I>
    auto& waiter() noexcept {
        return room<I>().waiter;
    }

    /// The number of the first policy that the call is not inside of.
    std::size_t inside() const noexcept { return inside_; }

    template <std::size_t I>
    [[gnu::always_inline]] void begin() {
        std::construct_at(&lane<I>());
        inside_ = I + 1;
    }
    template <std::size_t I>
    [[gnu::always_inline]] void end() noexcept {
        inside_ = I;
        if constexpr (requires { typename PolicyAt<I>::Waiter; }) waiter<I>().reset();
        std::destroy_at(&lane<I>());
    }

private:
    template <class Policy>
    struct Room {
        Room() noexcept {}
        ~Room() {}
        union {
            typename Policy::Lane lane;
        };
    };
    template <class Policy>
        requires requires { typename Policy::Waiter; }
    struct Room<Policy> {
        Room() noexcept {}
        ~Room() {}
        union {
            typename Policy::Lane lane;
        };
        Rare<typename Policy::Waiter> waiter;
    };

    template <std::size_t I>
    [[gnu::always_inline]] auto& room() noexcept {
        return std::get<I - First>(rooms_);
    }

    typename decltype([]<std::size_t... I>(std::index_sequence<I...>) {
        return std::type_identity<std::tuple<Room<PolicyAt<First + I>>...>>{};
    }(std::make_index_sequence<Last - First>{}))::type rooms_;
    std::size_t inside_ = First;  // of the policies up to here
};

}  // namespace breakwater::detail
