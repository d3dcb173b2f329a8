#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/detail/one_line.hpp>
#include <breakwater/keyed/hash.hpp>
#include <breakwater/observe/metrics/duration_histogram.hpp>
#include <breakwater/observe/metrics/family.hpp>
#include <breakwater/observe/metrics/options.hpp>
#include <breakwater/observe/metrics/sharded_counts.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace breakwater {

/// The series of all families. Thread-safe. To count in a series that is there takes no lock and allocates nothing, but
/// for a thread that is new to these counts (see `ShardedCounts`). Series are never removed; the names they are about
/// are bounded, and events about other names are counted under `rest`.
///
/// Names are kept on one line of at most 128 characters, with "?" for control characters and what is no UTF-8; those
/// that are then the same are one. To find such a name, or the rest, may allocate.
class MetricsRegistry {
public:
    static constexpr std::string_view rest = "other";

    /// Which of a family's series: the numbers of its labels' values.
    struct Key {
        Metric metric{};
        unsigned first = 0;   ///< Below 64.
        unsigned second = 0;  ///< Below 1,024.

        friend auto operator<=>(const Key&, const Key&) = default;
    };

    class Series {
    public:
        Series(const Key& key, std::uint32_t counts, Series* next) noexcept : key_{key}, counts_{counts}, next_{next} {}
        const Key& key() const noexcept { return key_; }

    private:
        friend MetricsRegistry;
        const Key key_;
        const std::uint32_t counts_;  // the number of the first
        Series* const next_;
        std::atomic<std::uint64_t> latest_{0};  // of a gauge that is set
    };

    /// Whom series are about: a client, one of its policies, or (without a client) a store.
    class Subject {
    public:
        Subject(std::string_view client, std::string_view policy, Subject* next)
            : client_{client}, policy_{policy}, next_{next} {}
        const std::string& client() const noexcept { return client_; }
        const std::string& policy() const noexcept { return policy_; }
        bool is_rest() const noexcept { return client_ == rest || policy_ == rest; }

    private:
        friend MetricsRegistry;
        const std::string client_;
        const std::string policy_;
        Subject* const next_;
        std::array<std::atomic<Series*>, 16> series_{};
    };

    /// Needs valid options.
    explicit MetricsRegistry(MetricsOptions options)
        : bounds_{std::move(options.buckets)},
          clients_left_{options.max_names},
          policies_left_{options.max_names},
          nobody_{add({}, {})},
          other_clients_{add(rest, {})} {}

    const std::vector<Duration>& bounds() const noexcept { return bounds_; }

    Subject& client(std::string_view name) {
        if (Subject* known = find(name, {})) [[likely]]
            return *known;
        Subject* own = new_client(name);
        if (own != nullptr) return *own;
        count_folded();
        return other_clients_;
    }
    /// A policy of the client, or a store if there is no client.
    Subject& policy(std::string_view client, std::string_view name) {
        if (Subject* known = find(client, name)) [[likely]]
            return *known;
        return new_policy(client, name);
    }

    void count(Subject& subject, const Key& key, std::uint64_t by = 1) {
        counts_.add(series(subject, key).counts_, by);
    }
    void record(Subject& subject, const Key& key, Duration took) {
        took = std::max(took, Duration{0});
        const std::uint32_t counts = series(subject, key).counts_;
        const auto bucket =
            static_cast<std::uint32_t>(std::lower_bound(bounds_.begin(), bounds_.end(), took) - bounds_.begin());
        counts_.add(counts + bucket, 1);
        counts_.add(counts + sum_at(), static_cast<std::uint64_t>(took.count()));
    }
    /// Sets a gauge, unless it is the rest's, which are many.
    void set(Subject& subject, const Key& key, std::uint32_t value) {
        if (!subject.is_rest()) series(subject, key).latest_.store(std::uint64_t{value} + 1, std::memory_order_relaxed);
    }
    /// The same with a value of up to 254 and when it came to be: what is told late changes nothing.
    void set_at(Subject& subject, const Key& key, Instant at, std::uint32_t value) {
        if (subject.is_rest()) return;
        const auto time = static_cast<std::uint64_t>(std::max(at.time_since_epoch().count(), std::int64_t{0}));
        const std::uint64_t now = time << 8 | (value + 1);
        const auto tolerance = static_cast<std::uint64_t>(clock_tolerance / Duration{1});
        std::atomic<std::uint64_t>& latest = series(subject, key).latest_;
        std::uint64_t before = latest.load(std::memory_order_relaxed);
        do {
            const std::uint64_t ahead = before >> 8 > time ? (before >> 8) - time : 0;
            if (ahead > 0 && ahead <= tolerance) return;  // further ahead: by a clock that has been set back since
        } while (!latest.compare_exchange_weak(before, now, std::memory_order_relaxed));
    }

    // Reading.

    /// What was counted.
    std::uint64_t count_of(const Series& series) const noexcept { return counts_.sum(series.counts_); }
    DurationHistogram histogram_of(const Series& series) const {
        DurationHistogram seen{.bounds = bounds_};
        for (std::uint32_t i = 0; i < sum_at(); ++i) seen.counts.push_back(counts_.sum(series.counts_ + i));
        seen.sum = Duration{static_cast<Duration::rep>(counts_.sum(series.counts_ + sum_at()))};
        return seen;
    }
    std::optional<std::uint32_t> value_of(const Series& series) const noexcept {
        return unpacked(series.latest_.load(std::memory_order_relaxed));
    }
    std::optional<std::uint32_t> value_at_of(const Series& series) const noexcept {
        return unpacked(series.latest_.load(std::memory_order_relaxed) & 0xffU);
    }

    /// Calls `use(subject, series)` for every series, one client's and one policy's after the other.
    template <class F>
    void for_each(F use) const {
        const std::scoped_lock lock{mutex_};
        for (const Subject& subject : subjects_) {
            for (const auto& head : subject.series_) {
                for (const Series* series = head.load(std::memory_order_relaxed); series != nullptr;
                     series = series->next_)
                    use(subject, *series);
            }
        }
    }

private:
    static constexpr std::size_t longest_name = 128;

    static std::optional<std::uint32_t> unpacked(std::uint64_t value) noexcept {
        return value == 0 ? std::nullopt : std::optional{static_cast<std::uint32_t>(value - 1)};
    }

    /// After a histogram's buckets comes its sum.
    std::uint32_t sum_at() const noexcept { return static_cast<std::uint32_t>(bounds_.size() + 1); }

    std::size_t place(std::string_view client, std::string_view policy) const noexcept {
        std::uint64_t hash = hash_(client).low;
        if (!policy.empty()) hash ^= std::rotl(hash_(policy).low, 1);
        return static_cast<std::size_t>(hash % places);
    }
    Subject* find(std::string_view client, std::string_view policy) const noexcept {
        Subject* subject = subjects_at_[place(client, policy)].load(std::memory_order_acquire);
        while (subject != nullptr && (subject->client_ != client || subject->policy_ != policy))
            subject = subject->next_;
        return subject;
    }
    /// With the mutex held, or before others know this.
    Subject& add(std::string_view client, std::string_view policy) {
        std::atomic<Subject*>& head = subjects_at_[place(client, policy)];
        Subject& made = subjects_.emplace_back(client, policy, head.load(std::memory_order_relaxed));
        head.store(&made, std::memory_order_release);
        return made;
    }
    /// Null if there is none and none is `left`.
    Subject* find_or_add(std::string_view client, std::string_view policy, std::atomic<std::size_t>& left) {
        const bool is_full = left.load(std::memory_order_acquire) == 0;
        if (Subject* known = find(client, policy)) return known;
        if (is_full) return nullptr;
        const std::scoped_lock lock{mutex_};
        if (Subject* known = find(client, policy)) return known;
        if (left.load(std::memory_order_relaxed) == 0) return nullptr;
        Subject& made = add(client, policy);
        left.fetch_sub(1, std::memory_order_release);
        return &made;
    }
    [[gnu::noinline]] Subject* new_client(std::string_view name) {
        return find_or_add(detail::one_line(name, longest_name), {}, clients_left_);
    }
    [[gnu::noinline]] Subject& new_policy(std::string_view client, std::string_view name) {
        Subject* owner = find(client, {});
        if (owner == nullptr) owner = new_client(client);
        if (owner == nullptr) owner = &other_clients_;
        if (!owner->is_rest()) {
            const std::string policy = detail::one_line(name, longest_name);
            if (policy.empty()) return *owner;
            if (Subject* own = find_or_add(owner->client_, policy, policies_left_)) return *own;
        }
        count_folded();
        if (Subject* others = find(owner->client_, rest)) return *others;
        const std::scoped_lock lock{mutex_};
        Subject* others = find(owner->client_, rest);
        return others != nullptr ? *others : add(owner->client_, rest);
    }
    void count_folded() { count(nobody_, {.metric = Metric::folded}); }

    Series& series(Subject& subject, const Key& key) {
        const std::uint32_t packed = static_cast<std::uint32_t>(key.metric) << 16 | key.first << 10 | key.second;
        std::atomic<Series*>& head = subject.series_[packed * 0x9e3779b1U >> 28];
        Series* series = head.load(std::memory_order_acquire);
        while (series != nullptr && series->key_ != key) series = series->next_;
        return series != nullptr ? *series : new_series(head, key);
    }
    [[gnu::noinline]] Series& new_series(std::atomic<Series*>& head, const Key& key) {
        const std::scoped_lock lock{mutex_};
        Series* const first = head.load(std::memory_order_relaxed);
        for (Series* series = first; series != nullptr; series = series->next_)
            if (series->key_ == key) return *series;
        const std::uint32_t counts = next_count_;
        Series& made = series_.emplace_back(key, counts, first);
        next_count_ += info_of(key.metric).type == MetricType::histogram ? sum_at() + 1 : 1;
        head.store(&made, std::memory_order_release);
        return made;
    }

    static constexpr std::size_t places = 1'024;

    const std::vector<Duration> bounds_;
    const KeyHasher hash_ = KeyHasher::of_this_process();
    ShardedCounts counts_;
    std::array<std::atomic<Subject*>, places> subjects_at_{};
    std::atomic<std::size_t> clients_left_;
    std::atomic<std::size_t> policies_left_;
    mutable std::mutex mutex_;  // of the series and subjects that are added, and of reading them all
    std::deque<Subject> subjects_;
    std::deque<Series> series_;
    std::uint32_t next_count_ = 0;
    Subject& nobody_;  // the client without a name
    Subject& other_clients_;
};

namespace detail {

/// Of a count that goes up and down. While threads count, one may be seen to end that was not yet seen to begin.
constexpr std::int64_t in_flight(std::uint64_t count) noexcept {
    return std::max(static_cast<std::int64_t>(count), std::int64_t{0});
}

}  // namespace detail

}  // namespace breakwater
