#pragma once

#include <breakwater/clock.hpp>

#include <cstddef>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace breakwater::memory {

/// Byte strings with a time to live by clock `C`, at most `capacity` bytes of keys, values and bookkeeping together;
/// the least recently used go first. Thread-safe.
template <Clock C>
class Blobs {
public:
    Blobs(C clock, std::size_t capacity) : clock_{std::move(clock)}, capacity_{capacity} {}

    /// How many others had to go.
    std::size_t put(std::string_view key, std::string value, Duration ttl) {
        const Instant now = clock_.now();
        const Instant expires = ttl < Instant::max() - now ? now + ttl : Instant::max();
        const std::size_t size = key.size() + value.size() + overhead;
        const std::scoped_lock lock{mutex_};
        remove(key);
        if (size > capacity_) return 0;
        std::size_t evicted = 0;
        for (; bytes_ + size > capacity_; ++evicted) remove(entries_.back().key);
        entries_.push_front({std::string{key}, std::make_shared<const std::string>(std::move(value)), expires, size});
        index_.emplace(entries_.front().key, entries_.begin());
        bytes_ += size;
        return evicted;
    }

    std::shared_ptr<const std::string> get(std::string_view key) {
        const Instant now = clock_.now();
        const std::scoped_lock lock{mutex_};
        const auto found = index_.find(key);
        if (found == index_.end()) return nullptr;
        if (now >= found->second->expires) {
            remove(key);
            return nullptr;
        }
        entries_.splice(entries_.begin(), entries_, found->second);
        return found->second->value;
    }

    void erase(std::string_view key) {
        const std::scoped_lock lock{mutex_};
        remove(key);
    }

    std::size_t bytes() const {
        const std::scoped_lock lock{mutex_};
        return bytes_;
    }

private:
    static constexpr std::size_t overhead = 128;  // list and index nodes, roughly

    struct Entry {
        std::string key;
        std::shared_ptr<const std::string> value;
        Instant expires;
        std::size_t size;
    };

    void remove(std::string_view key) {
        const auto found = index_.find(key);
        if (found == index_.end()) return;
        const auto entry = found->second;  // `key` may be the entry's own
        bytes_ -= entry->size;
        index_.erase(found);
        entries_.erase(entry);
    }

    const C clock_;
    const std::size_t capacity_;
    mutable std::mutex mutex_;
    std::size_t bytes_ = 0;
    std::list<Entry> entries_;  // most recently used first
    std::unordered_map<std::string_view, typename std::list<Entry>::iterator> index_;
};

}  // namespace breakwater::memory
