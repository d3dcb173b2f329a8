#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/keyed/hash.hpp>
#include <breakwater/keyed/index.hpp>
#include <breakwater/keyed/label.hpp>
#include <breakwater/keyed/pages.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <new>
#include <optional>
#include <string_view>
#include <type_traits>
#include <utility>

namespace breakwater {

/// How often a table's bound was met.
struct KeyedCounts {
    std::size_t keys = 0;          ///< Kept now.
    std::size_t max_keys = 0;      ///< Never kept more.
    std::uint64_t evicted = 0;     ///< Keys that made room for others, as their values were equal to fresh.
    std::uint64_t overflowed = 0;  ///< How often a key had to use the shared value.
    friend bool operator==(const KeyedCounts&, const KeyedCounts&) = default;
};

/// A value for each of at most `max_keys` keys, in memory that is never more than that; keys beyond share one value.
///
/// A key is told by a keyed hash of 128 bits, and is itself kept only to be shown. Thread-safe: to find a key that is
/// there takes no lock. A new key takes the table's lock, and when the table is full the place of one whose value is
/// fresh and that nobody holds. It looks at up to `looks` others for that, from where the last one stopped; if it finds
/// none, the new key is given the shared value. So no key is ever without a value, and none that matters is lost.
template <class Value>
class KeyedTable {
    struct Entry;

public:
    /// How many entries a new key looks at to find a place in a full table.
    static constexpr std::size_t looks = 16;
    /// The most keys a table can be made for.
    static constexpr std::size_t most_keys = std::size_t{1} << 24;

    /// Holds one key's value: as long as it exists, the value stays this key's. Must not outlive the table.
    class Pin {
    public:
        Pin() noexcept = default;
        Pin(Pin&& other) noexcept : entry_{std::exchange(other.entry_, nullptr)} {}
        Pin& operator=(Pin&& other) noexcept {
            std::swap(entry_, other.entry_);
            return *this;
        }
        ~Pin() {
            if (entry_ != nullptr) atomic(entry_->control).fetch_sub(1, std::memory_order_release);
        }

        explicit operator bool() const noexcept { return entry_ != nullptr; }
        Value& operator*() const noexcept { return entry_->value(); }
        Value* operator->() const noexcept { return &entry_->value(); }
        /// The key as it is shown: see `KeyLabel`. "*" is the shared value.
        std::string_view label() const noexcept { return entry_->label.text(); }
        /// The key's hash, which is the same in every table.
        KeyHash hash() const noexcept {
            return {atomic(entry_->low).load(std::memory_order_relaxed),
                    atomic(entry_->high).load(std::memory_order_relaxed)};
        }
        /// When the value was made: not before any value was evicted.
        Instant born() const noexcept { return entry_->born; }

    private:
        friend KeyedTable;
        explicit Pin(Entry& entry) noexcept : entry_{&entry} {}
        Entry* entry_ = nullptr;
    };

    /// `max_keys` is 1 to `most_keys`. `make()` gives the shared value. Memory is only touched as keys come.
    template <class Make>
    KeyedTable(std::size_t max_keys, Make make)
        : max_keys_{std::clamp<std::size_t>(max_keys, 1, most_keys)}, index_{max_keys_}, entries_{max_keys_ + 1} {
        ::new (entries_[0].storage) Value(make());
        entries_[0].label.set("*", {});
    }
    ~KeyedTable() {
        if constexpr (!std::is_trivially_destructible_v<Value>)
            for (std::size_t i = 0; i <= used_; ++i) entries_[i].value().~Value();
    }
    KeyedTable(const KeyedTable&) = delete;
    KeyedTable& operator=(const KeyedTable&) = delete;

    KeyHash hash(std::string_view key) const noexcept { return hash_(key); }

    /// The key's value, or nothing. Takes no lock. May miss a key for a moment while another one moves: `insert` and
    /// `find_surely` never do.
    Pin find(const KeyHash& hash) const noexcept {
        const std::uint32_t guess = index_.guess(hash);
        if (entries_[guess].is(hash)) [[likely]] {
            if (Pin found = hold(guess); found.entry_->is(hash)) [[likely]]
                return found;
        }
        return find_all(hash);
    }
    /// Whether the key is there now.
    bool contains(const KeyHash& hash) const noexcept {
        return entries_[index_.guess(hash)].is(hash) || static_cast<bool>(find_all(hash));
    }
    /// As `find`, and never misses a key.
    Pin find_surely(const KeyHash& hash) const noexcept {
        if (Pin found = find(hash)) return found;
        const std::scoped_lock lock{mutex_};
        return find(hash);
    }

    /// The key's value; if there is none it is made by `make()`, in the place of a value of which `is_fresh(value)` is
    /// true if need be, else it is the shared one. Both functions are called under the table's lock.
    template <class IsFresh, class Make>
    [[gnu::noinline]] Pin insert(const KeyHash& hash, std::string_view key, Instant now, IsFresh is_fresh, Make make) {
        static_assert(noexcept(make()) && noexcept(is_fresh(std::declval<Value&>())));
        const KeyLabel label{key, hash};
        std::optional<Evicted> evicted;  // destroyed when the lock is free again
        const std::scoped_lock lock{mutex_};
        if (Pin found = find(hash)) return found;
        const std::uint32_t used = used_.load(std::memory_order_relaxed);
        std::uint32_t at = used + 1;
        if (used == max_keys_) {
            at = evict(now, is_fresh, evicted);
            if (at == 0) {
                overflowed_.fetch_add(1, std::memory_order_relaxed);
                return shared();
            }
        } else {
            atomic(entries_[at].control).store(locked, std::memory_order_relaxed);
        }
        Entry& entry = entries_[at];
        ::new (entry.storage) Value(make());
        entry.label = label;
        entry.born = std::max(now, last_eviction_);
        atomic(entry.low).store(hash.low, std::memory_order_relaxed);
        atomic(entry.high).store(hash.high, std::memory_order_relaxed);
        atomic(entry.control).fetch_sub(locked - 1, std::memory_order_release);
        index_.insert(hash, at);
        if (at > used) used_.store(at, std::memory_order_release);
        return Pin{entry};
    }

    /// The value of all keys that find no place.
    Pin shared() const noexcept {
        atomic(entries_[0].control).fetch_add(1, std::memory_order_acquire);
        return Pin{entries_[0]};
    }

    /// Whether a new key may have to use the shared value.
    bool is_full() const noexcept { return used_.load(std::memory_order_acquire) == max_keys_; }

    /// Calls `use(pin)` for every key, in no order. Keys that come or go meanwhile may be left out.
    template <class F>
    void for_each(F use) const {
        const std::uint32_t used = used_.load(std::memory_order_acquire);
        for (std::uint32_t at = 1; at <= used; ++at) {
            Entry& entry = entries_[at];
            const bool held = (atomic(entry.control).fetch_add(1, std::memory_order_acquire) & locked) == 0;
            const Pin pin{entry};
            if (held) use(pin);
        }
    }

    KeyedCounts counts() const noexcept {
        return {used_.load(std::memory_order_relaxed), max_keys_, evicted_.load(std::memory_order_relaxed),
                overflowed_.load(std::memory_order_relaxed)};
    }

    /// What one key costs; the table's index adds 10.
    static constexpr std::size_t bytes_per_key() noexcept { return sizeof(Entry); }

private:
    static constexpr std::uint32_t locked = std::uint32_t{1} << 31;

    // Zeroed memory is an entry nobody uses. What other threads may read without holding it is read atomically.
    struct alignas(64) Entry {
        std::uint32_t control;  // how many hold it; `locked`: somebody changes it
        std::uint64_t low;
        std::uint64_t high;
        Instant born;
        alignas(8) std::byte storage[sizeof(Value)];
        KeyLabel label;

        Value& value() noexcept { return *std::launder(reinterpret_cast<Value*>(storage)); }
        bool is(const KeyHash& hash) noexcept {
            const std::uint64_t other = (atomic(low).load(std::memory_order_relaxed) ^ hash.low) |
                                        (atomic(high).load(std::memory_order_relaxed) ^ hash.high);
            return other == 0;
        }
    };
    static_assert(alignof(Value) <= 8);

    template <class T>
    static std::atomic_ref<T> atomic(T& value) noexcept {
        return std::atomic_ref<T>{value};
    }

    // A value that has a destructor may run code of the user's in it.
    struct Nothing {};
    using Evicted = std::conditional_t<std::is_trivially_destructible_v<Value>, Nothing, Value>;

    /// Holds an entry, whatever is in it; the shared value in place of one that is being changed.
    Pin hold(std::uint32_t at) const noexcept {
        Entry& entry = entries_[at];
        if ((atomic(entry.control).fetch_add(1, std::memory_order_acquire) & locked) == 0) [[likely]]
            return Pin{entry};
        atomic(entry.control).fetch_sub(1, std::memory_order_release);
        return shared();
    }
    [[gnu::noinline]] Pin find_all(const KeyHash& hash) const noexcept {
        const std::uint32_t at = index_.find(hash, [&](std::uint32_t number) { return entries_[number].is(hash); });
        if (Pin found = hold(at); found.entry_->is(hash)) return found;
        return {};
    }

    /// Takes a fresh value away and locks its place. 0 if there is none.
    template <class IsFresh>
    std::uint32_t evict(Instant now, IsFresh& is_fresh, std::optional<Evicted>& evicted) {
        for (std::size_t look = 0; look < std::min(looks, max_keys_); ++look) {
            hand_ = hand_ == max_keys_ ? 1 : hand_ + 1;
            Entry& entry = entries_[hand_];
            const auto control = atomic(entry.control);
            if (control.load(std::memory_order_relaxed) != 0 || !is_fresh(entry.value())) continue;
            std::uint32_t unused = 0;
            if (!control.compare_exchange_strong(unused, locked, std::memory_order_acquire)) continue;
            if (!is_fresh(entry.value())) {
                control.fetch_sub(locked, std::memory_order_release);
                continue;
            }
            index_.erase({entry.low, entry.high}, hand_);
            if constexpr (!std::is_trivially_destructible_v<Value>) {
                evicted.emplace(std::move(entry.value()));
                entry.value().~Value();
            }
            last_eviction_ = std::max(last_eviction_, now);
            evicted_.fetch_add(1, std::memory_order_relaxed);
            return hand_;
        }
        return 0;
    }
    const KeyHasher hash_{KeyHasher::of_this_process()};
    const std::size_t max_keys_;
    KeyedIndex index_;
    const ZeroedPages<Entry> entries_;  // the first one holds the shared value

    alignas(64) mutable std::mutex mutex_;
    std::uint32_t hand_ = 0;
    Instant last_eviction_{};
    std::atomic<std::uint32_t> used_{0};
    std::atomic<std::uint64_t> evicted_{0};
    std::atomic<std::uint64_t> overflowed_{0};
};

}  // namespace breakwater
