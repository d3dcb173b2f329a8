#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/events.hpp>
#include <breakwater/observe/log.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <deque>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

namespace dashboard {

namespace bw = breakwater;

/// What a page shows of one client beside its snapshot: an observer that remembers.
class Board {
public:
    void operator()(const bw::Event& event) {
        const std::scoped_lock lock{mutex_};
        count(event);
        if (is_told(event.kind)) tell(event);
    }

    nlohmann::json json() const {
        const std::scoped_lock lock{mutex_};
        nlohmann::json seconds = nlohmann::json::array();
        const std::int64_t now = second_now();
        for (std::int64_t second = now - shown_seconds; second < now; ++second) {
            const Second& own = seconds_[index_of(second)];
            seconds.push_back(own.number == second ? nlohmann::json{own.good, own.failed, own.refused}
                                                   : nlohmann::json{0, 0, 0});
        }
        nlohmann::json events = nlohmann::json::array();
        for (const Told& own : told_) events.push_back({{"at", own.at}, {"text", own.text}, {"times", own.times}});
        return {{"in_flight", in_flight_}, {"attempts", attempts_},    {"retries", retries_},
                {"hedges", hedges_},       {"hedges_won", won_},       {"opened", opened_},
                {"p50_ms", quantile(0.5)}, {"p99_ms", quantile(0.99)}, {"seconds", seconds},
                {"events", events}};
    }

private:
    static constexpr std::int64_t shown_seconds = 60;
    static constexpr std::size_t kept_events = 12;

    struct Second {
        std::int64_t number = -1;
        int good = 0;
        int failed = 0;
        int refused = 0;
    };
    struct Told {
        std::string at;
        std::string text;
        int times = 1;
    };

    void count(const bw::Event& event) {
        using enum bw::EventKind;
        switch (event.kind) {
            case attempt_started: ++attempts_, ++in_flight_; break;
            case attempt_ended:
                --in_flight_;
                if (event.took) took_[next_++ % took_.size()] = *event.took;
                break;
            case retry_scheduled: ++retries_; break;
            case hedge_sent: ++hedges_; break;
            case hedge_won: ++won_; break;
            case circuit_opened: ++opened_; break;
            case call_ended: count_call(event); break;
            default: break;
        }
    }
    void count_call(const bw::Event& event) {
        const std::int64_t now = second_now();
        Second& second = seconds_[index_of(now)];
        if (second.number != now) second = Second{.number = now};
        if (!event.code)
            ++second.good;
        else if (bw::is_refusal(*event.code))
            ++second.refused;
        else
            ++second.failed;
    }

    /// What calls go through one by one would fill the list.
    static bool is_told(bw::EventKind kind) noexcept {
        using enum bw::EventKind;
        switch (kind) {
            case circuit_opened:
            case circuit_half_opened:
            case circuit_closed:
            case circuit_forced:
            case limiter_paused: return true;
            default: return false;
        }
    }
    void tell(const bw::Event& event) {
        std::string text = bw::log_line(event);
        if (text.empty()) text = bw::to_string(event.kind);
        if (!told_.empty() && told_.front().text == text) {
            told_.front().at = wall_time();
            ++told_.front().times;
            return;
        }
        told_.push_front({wall_time(), std::move(text)});
        if (told_.size() > kept_events) told_.pop_back();
    }

    nlohmann::json quantile(double share) const {
        std::vector<bw::Duration> sorted{took_.begin(),
                                         took_.begin() + static_cast<std::ptrdiff_t>(std::min(next_, took_.size()))};
        if (sorted.empty()) return nullptr;
        const auto at = sorted.begin() + static_cast<std::ptrdiff_t>(share * static_cast<double>(sorted.size() - 1));
        std::ranges::nth_element(sorted, at);
        return static_cast<double>(at->count()) / 1'000;
    }

    static std::int64_t second_now() {
        return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::steady_clock::now().time_since_epoch())
            .count();
    }
    static std::size_t index_of(std::int64_t second) { return static_cast<std::size_t>(second % (shown_seconds + 1)); }
    static std::string wall_time() {
        const std::time_t now = std::time(nullptr);
        std::tm local{};
        localtime_r(&now, &local);
        std::array<char, 16> text{};
        std::strftime(text.data(), text.size(), "%H:%M:%S", &local);
        return text.data();
    }

    mutable std::mutex mutex_;
    int in_flight_ = 0;
    std::int64_t attempts_ = 0, retries_ = 0, hedges_ = 0, won_ = 0, opened_ = 0;
    std::array<bw::Duration, 512> took_{};  // of the last attempts
    std::size_t next_ = 0;
    std::array<Second, shown_seconds + 1> seconds_{};
    std::deque<Told> told_;  // the latest first
};

}  // namespace dashboard
