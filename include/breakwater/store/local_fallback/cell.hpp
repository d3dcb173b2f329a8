#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/store/memory/cell.hpp>

#include <atomic>
#include <memory>
#include <mutex>
#include <type_traits>
#include <utility>

namespace breakwater::fallback {

/// A machine whose state can be replaced by one that was seen elsewhere.
template <class M>
struct Standby : M {
    using M::apply;

    /// `state` is left with anything.
    struct Adopt {
        typename M::State* state = nullptr;
    };
    static bool apply(typename M::State& own, const typename M::Options&, const Adopt& adopt, Instant) noexcept {
        if constexpr (memory::fits_word<M>)  // may be tried again
            own = *adopt.state;
        else  // under the cell's lock: nothing is allocated or freed
            std::swap(own, *adopt.state);
        return true;
    }
};

/// A cell of a store that may fail, and one of this process's to go on with.
template <class M, class Shared>
class Cell {
    using Own = std::conditional_t<memory::fits_word<M>, memory::WordCell<Standby<M>>, memory::BlockCell<Standby<M>>>;

public:
    using Machine = M;

    Cell(std::shared_ptr<Shared> cell_in_store, const typename M::Options& options)
        : shared{std::move(cell_in_store)}, own{options}, options_{options} {}

    /// Goes on here, if it does not yet, with what `seen()` says was seen last.
    template <class Seen>
    void leave(Seen seen) {
        if (is_alone()) return;
        const std::scoped_lock lock{mutex_};
        if (is_alone()) return;
        seen([this](typename M::State state) { adopt(state); });
        is_alone_.store(true, std::memory_order_release);
    }
    /// Goes by the store again.
    void rejoin() noexcept { is_alone_.store(false, std::memory_order_release); }
    bool is_alone() const noexcept { return is_alone_.load(std::memory_order_acquire); }

    /// Notes what the store has.
    void note(typename M::State state) {
        const std::scoped_lock lock{mutex_};
        if (!is_alone()) adopt(state);
    }

    const std::shared_ptr<Shared> shared;  ///< Null: nobody else finds this cell, and no store is asked.
    Own own;
    std::atomic<Instant> note_at = Instant::min();  ///< When the store's state is to be noted next.

private:
    void adopt(typename M::State& state) {
        auto at_no_time = [] { return Instant{}; };
        own.apply(options_, typename Standby<M>::Adopt{&state}, at_no_time);
    }

    const typename M::Options options_;
    std::mutex mutex_;
    std::atomic<bool> is_alone_ = false;
};

}  // namespace breakwater::fallback
