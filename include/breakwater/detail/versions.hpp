#pragma once

#include <atomic>
#include <forward_list>
#include <mutex>
#include <utility>

namespace breakwater::detail {

/// The options of a policy as they are and were. Reading is one load and never waits; a version, once seen, stays valid
/// for as long as this does.
///
/// That is the price of a free read: an old version is kept until the policy goes. Counting who still reads it would
/// cost every call more than the policy itself, and options change by a person's or a file's hand.
template <class T>
class Versions {
public:
    explicit Versions(T first) : kept_{std::move(first)}, current_{&kept_.front()} {}

    const T& current() const noexcept { return *current_.load(std::memory_order_acquire); }

    void publish(T next) {
        update([&](const T&) -> T&& { return std::move(next); });
    }
    /// Publishes what `make(current)` returns. One at a time: what `make` does to a state on the way is done in the
    /// order of the versions. An observer that is told of the store by then may come here again.
    template <class F>
    void update(F make) {
        const std::scoped_lock lock{mutex_};
        kept_.push_front(make(std::as_const(kept_.front())));
        current_.store(&kept_.front(), std::memory_order_release);
    }

private:
    std::recursive_mutex mutex_;
    std::forward_list<T> kept_;
    std::atomic<const T*> current_;
};

}  // namespace breakwater::detail
