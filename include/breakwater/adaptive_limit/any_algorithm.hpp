#pragma once

#include <breakwater/adaptive_limit/aimd.hpp>
#include <breakwater/adaptive_limit/algorithm.hpp>
#include <breakwater/adaptive_limit/gradient2.hpp>
#include <breakwater/adaptive_limit/vegas.hpp>
#include <breakwater/result.hpp>

#include <cstdint>
#include <optional>
#include <string_view>
#include <variant>

namespace breakwater {

/// The built-in algorithms as a run-time choice. Default: `Gradient2{}`.
class AnyLimitAlgorithm {
public:
    using Choice = std::variant<Gradient2, Vegas, Aimd>;
    using State = LimitBaseline;

    constexpr AnyLimitAlgorithm() noexcept = default;
    constexpr AnyLimitAlgorithm(const Gradient2& rule) noexcept : choice_{rule} {}
    constexpr AnyLimitAlgorithm(const Vegas& rule) noexcept : choice_{rule} {}
    constexpr AnyLimitAlgorithm(const Aimd& rule) noexcept : choice_{rule} {}

    constexpr const Choice& choice() const noexcept { return choice_; }

    constexpr double next(State& state, double limit, const LimitSample& sample) const noexcept {
        if (const auto* rule = std::get_if<Vegas>(&choice_)) return rule->next(state, limit, sample);
        if (const auto* rule = std::get_if<Aimd>(&choice_)) return rule->next(state, limit, sample);
        return std::get_if<Gradient2>(&choice_)->next(state, limit, sample);
    }
    constexpr double baseline(const State& state) const noexcept {
        return std::holds_alternative<Aimd>(choice_) ? 0 : state.rtt;
    }
    constexpr std::optional<std::uint32_t> probe_after(double limit) const noexcept {
        if (const auto* rule = std::get_if<Gradient2>(&choice_)) return rule->probe_after(limit);
        if (const auto* rule = std::get_if<Vegas>(&choice_)) return rule->probe_after(limit);
        return {};
    }
    constexpr void rebase(State& state, double rtt) const noexcept {
        if (std::holds_alternative<Vegas>(choice_))
            Vegas::rebase(state, rtt);
        else
            Gradient2::rebase(state, rtt);
    }

    friend bool operator==(const AnyLimitAlgorithm&, const AnyLimitAlgorithm&) = default;

private:
    Choice choice_;
};

inline Result<void> validate(const AnyLimitAlgorithm& algorithm, std::string_view path) {
    return std::visit([&](const auto& chosen) { return validate(chosen, path); }, algorithm.choice());
}

}  // namespace breakwater
