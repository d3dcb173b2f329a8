#pragma once

#include <breakwater/pipeline/policy.hpp>
#include <breakwater/task.hpp>
#include <breakwater/task/now_or_later.hpp>
#include <breakwater/task/round.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <tuple>
#include <utility>
#include <variant>

namespace breakwater::detail {

/// A policy that may have to wait for its store.
template <class P, class AnyCall>
concept AsksStore =
    requires(const P& policy, typename P::Lane& lane, AnyCall& call) { policy.async_before(lane, call); };

/// What a policy was asked: before the call enters it, the same after a wait of its own, or after an inner wait.
enum class Asked : std::uint8_t { before, before_again, reask };

/// What the policies from `First` to the one before `Last` have to ask their stores for one call.
///
/// Policies of `Place::admission` that stand side by side are asked in one round: what each has to ask is kept, the
/// call goes on as if it had said proceed, and behind the last of them all is asked.
template <class AnyCall, std::size_t First, std::size_t Last, class... P>
struct Questions {
    /// What the policies have said that were asked, each in its place.
    using Answers = std::array<std::optional<Before>, sizeof...(P)>;
    /// What is awaited.
    using Question = std::variant<std::monostate, Task<Answers>, Task<After>>;

    static constexpr std::array<bool, sizeof...(P)> can_ask{AsksStore<P, AnyCall>...};
    /// Whether any can.
    static constexpr bool asks = [] {
        for (std::size_t i = First; i < Last; ++i)
            if (can_ask[i]) return true;
        return false;
    }();
    /// Whether what policy `i` asks can be asked together with what the next one does.
    static constexpr bool joins_next(std::size_t i) noexcept {
        constexpr std::array<bool, sizeof...(P)> is_admission{(place_of<P> == Place::admission)...};
        return i + 1 < Last && is_admission[i] && is_admission[i + 1];
    }
    /// Whether all that is to be asked has to be answered before the call goes on inwards to policy `i`.
    static constexpr bool settles_at(std::size_t i) noexcept {
        if (i == First || joins_next(i - 1)) return false;
        bool asks_before = false;
        do asks_before = can_ask[--i] || asks_before;
        while (i > First && joins_next(i - 1));
        return asks_before;
    }

    /// What policy `I` says, or proceed until it is answered.
    template <std::size_t I>
    [[gnu::always_inline]] Before keep(NowOrLater<Before> decision, Asked what) {
        const Before* const known = decision.value();
        is_open[I] = known == nullptr;
        if (known != nullptr) return *known;
        kept[I].emplace(std::move(decision).task());
        asked[I] = what;
        are_kept = true;
        return proceed;
    }
    void ask() {
        are_kept = false;
        awaited = run_as_round(kept);
    }
    /// They are not to be asked now.
    void drop() noexcept {
        if (!std::exchange(are_kept, false)) return;
        for (auto& question : kept) question.reset();
    }
    /// Returns which policy is the first that does not let the call pass; `Last` if all do.
    std::size_t heed(const Answers& answers) noexcept {
        std::size_t refuses = Last;
        for (std::size_t i = Last; i-- > First;) {
            if (!answers[i]) continue;
            is_open[i] = answers[i]->kind == Before::Kind::withdrawn;
            if (answers[i]->kind != Before::Kind::proceed && !is_open[i]) refuses = i;
        }
        return refuses;
    }

    std::array<std::optional<Task<Before>>, sizeof...(P)> kept;  // of the round to come
    std::array<Asked, sizeof...(P)> asked{};
    std::array<bool, sizeof...(P)> is_open{};  // passed, and nothing is taken for it
    bool are_kept = false;
    Question awaited;
    bool is_reasking = false;    // when they are answered, the policies outside are asked again, from …
    std::size_t goes_on_at = 0;  // … or the call goes on inwards, from this policy
    std::size_t left = 0;        // whose `after` asks
};

}  // namespace breakwater::detail
