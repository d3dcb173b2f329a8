#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/pipeline/passage.hpp>
#include <breakwater/pipeline/policy.hpp>
#include <breakwater/result.hpp>
#include <breakwater/task.hpp>

#include <array>
#include <cstddef>
#include <optional>
#include <tuple>
#include <utility>

namespace breakwater {

/// A call's way through policies of which the one at `At` may hedge: the way to there and the way from there on, the
/// second made by each attempt of a race by itself, or here if there is none.
template <class AnyCall, class T, std::size_t At, class... P>
class HedgedPassage {
    using Outer = Passage<AnyCall, T, 0, At, P...>;
    using Inner = Passage<AnyCall, T, At + 1, sizeof...(P), P...>;

public:
    using Next = PassageStep;

    HedgedPassage(const std::tuple<P...>& policies, AnyCall& call, detail::TaskRoom<Result<T>>& result) noexcept
        : outer_{policies, call, result} {}

    detail::TaskRoom<Result<T>>& result() const noexcept { return outer_.result(); }
    Instant wake_at() const noexcept { return inner_ ? inner_->wake_at() : outer_.wake_at(); }
    template <class F>
    void with_waiter(F use) {
        inner_ ? inner_->with_waiter(use) : outer_.with_waiter(use);
    }
    using Answers = typename Outer::Answers;
    using Question = typename Outer::Question;
    static constexpr bool asks = Outer::asks || Inner::asks;
    Question* question() noexcept { return inner_ ? inner_->question() : outer_.question(); }
    const auto& hedge() const noexcept { return policy().own(); }

    Next begin() { return inwards(outer_.begin()); }
    Next attempted() { return outwards(inner_->attempted()); }
    Next raced() { return inwards(outer_.attempted()); }
    Next waited() { return inner_ ? outwards(inner_->waited()) : inwards(outer_.waited()); }
    Next answered(const auto& decision) {
        return inner_ ? outwards(inner_->answered(decision)) : inwards(outer_.answered(decision));
    }
    Next queued() { return inner_ ? outwards(inner_->queued()) : inwards(outer_.queued()); }

private:
    Next inwards(Next next) {
        while (next == Next::attempt) {
            if (policy().begin(outer_.call())) return Next::race;
            if (const Next inner = inner_.emplace(outer_.policies(), outer_.call(), outer_.result()).begin();
                inner != Next::over)
                return inner;
            next = leave();
        }
        return next;
    }
    Next outwards(Next next) { return next == Next::over ? inwards(leave()) : next; }
    Next leave() {
        inner_.reset();
        return outer_.attempted();
    }

    const auto& policy() const noexcept { return std::get<At>(outer_.policies()); }

    Outer outer_;
    std::optional<Inner> inner_;
};

namespace detail {

/// Where the first policy from `First` on stands that hedges; the number of policies if none does.
template <std::size_t First, class... P>
consteval std::size_t hedge_from() {
    constexpr std::array<bool, sizeof...(P) + 1> is_hedge{(place_of<P> == Place::hedge)..., true};
    std::size_t at = First;
    while (!is_hedge[at]) ++at;
    return at;
}

template <class AnyCall, class T, std::size_t First, class... P>
struct PassageThrough {
    using type = Passage<AnyCall, T, First, sizeof...(P), P...>;
};
template <class AnyCall, class T, std::size_t First, class... P>
    requires(hedge_from<First, P...>() < sizeof...(P))
struct PassageThrough<AnyCall, T, First, P...> {
    static_assert(First == 0);
    using type = HedgedPassage<AnyCall, T, hedge_from<First, P...>(), P...>;
};

}  // namespace detail

}  // namespace breakwater
