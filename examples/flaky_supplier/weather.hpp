#pragma once

#include <array>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace flaky {

using Clock = std::chrono::steady_clock;

/// What happens to one request.
enum class Fate { answered, error_500, throttled_429, too_slow, reset, unavailable_503 };

constexpr std::string_view to_string(Fate fate) {
    switch (fate) {
        case Fate::answered: return "200";
        case Fate::error_500: return "500";
        case Fate::throttled_429: return "429";
        case Fate::too_slow: return "slow";
        case Fate::reset: return "reset";
        case Fate::unavailable_503: return "503";
    }
    return "?";
}

/// A stretch of weather. `strikes` says which of ten requests in turn meet `fate`; the others are answered. It ends
/// when `pages` pages have been served in it, or after `lasts`; with neither it stays.
struct Phase {
    std::string_view name;
    std::string_view text;
    Fate fate = Fate::answered;
    std::string_view strikes = "..........";
    std::optional<std::size_t> pages{};
    std::optional<Clock::duration> lasts{};
    bool refuses_connections = false;
};

/// Goes through a list of phases as requests come in. Decisions depend on the order of requests alone, not on time
/// or chance, so a show repeats itself; only an outage lasts for a time, because nobody gets through to end it.
class Weather {
public:
    using Announce = std::function<void(Clock::duration since_first_request, const Phase&)>;

    Weather(std::vector<Phase> script, Announce announce) : script_{std::move(script)}, announce_{std::move(announce)} {
        counts_.resize(script_.size());
    }

    /// Decides about the next request and counts it.
    Fate next() {
        std::lock_guard lock{mutex_};
        if (!began_) enter(0);
        advance_if_over();
        const Phase& phase = script_[current_];
        const std::size_t turn = requests_in_phase_++;
        const Fate fate = phase.strikes[turn % phase.strikes.size()] == 'x' ? phase.fate : Fate::answered;
        ++counts_[current_][fate];
        return fate;
    }

    /// A page has been answered in full.
    void page_served() {
        std::lock_guard lock{mutex_};
        ++pages_in_phase_;
        advance_if_over();
    }

    /// To the next phase, whatever the script says about this one's end.
    void go_on() {
        std::lock_guard lock{mutex_};
        if (!began_) enter(0);
        if (current_ + 1 < script_.size()) enter(current_ + 1);
    }

    /// Blocks until connections are (or are no longer) refused; false if a stop was requested first.
    bool wait_for_refusal(bool refusing, const std::stop_token& stop) {
        std::unique_lock lock{mutex_};
        while (!stop.stop_requested()) {
            if (began_) advance_if_over();
            if (script_[current_].refuses_connections == refusing) return true;
            const auto moved = [this, began = began_, before = current_] {
                return began_ != began || current_ != before;
            };
            if (began_ && script_[current_].lasts) {
                changed_.wait_until(lock, stop, phase_began_ + *script_[current_].lasts, moved);
            } else {
                changed_.wait(lock, stop, moved);
            }
        }
        return false;
    }

    /// How many requests met which fate: in all, and in each phase.
    nlohmann::json counts() {
        std::lock_guard lock{mutex_};
        nlohmann::json total = nlohmann::json::object();
        nlohmann::json phases = nlohmann::json::array();
        std::size_t requests = 0;
        for (std::size_t i = 0; i < script_.size(); ++i) {
            nlohmann::json fates = nlohmann::json::object();
            for (const auto& [fate, n] : counts_[i]) {
                const std::string key{to_string(fate)};
                fates[key] = n;
                total[key] = total.value(key, std::size_t{0}) + n;
                requests += n;
            }
            phases.push_back({{"name", script_[i].name}, {"requests", std::move(fates)}});
        }
        return {{"requests", requests}, {"fates", std::move(total)}, {"phases", std::move(phases)}};
    }

private:
    void advance_if_over() {
        for (;;) {
            const Phase& phase = script_[current_];
            const bool served = phase.pages && pages_in_phase_ >= *phase.pages;
            const bool elapsed = phase.lasts && Clock::now() >= phase_began_ + *phase.lasts;
            if ((!served && !elapsed) || current_ + 1 == script_.size()) return;
            enter(current_ + 1);
        }
    }

    void enter(std::size_t phase) {
        const auto now = Clock::now();
        if (!began_) began_ = now;
        current_ = phase;
        phase_began_ = now;
        pages_in_phase_ = 0;
        requests_in_phase_ = 0;
        announce_(now - *began_, script_[phase]);
        changed_.notify_all();
    }

    std::mutex mutex_;
    std::condition_variable_any changed_;
    const std::vector<Phase> script_;
    const Announce announce_;
    std::vector<std::map<Fate, std::size_t>> counts_;
    std::optional<Clock::time_point> began_;
    Clock::time_point phase_began_{};
    std::size_t current_ = 0;
    std::size_t pages_in_phase_ = 0;
    std::size_t requests_in_phase_ = 0;
};

}  // namespace flaky
