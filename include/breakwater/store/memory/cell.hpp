#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/store/store.hpp>

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include <time.h>

namespace breakwater::memory {

/// A state of up to 8 bytes: lock-free, by compare-and-swap. The machine may run more than once for one command; only
/// the run that wins counts.
template <class M>
class WordCell {
public:
    using Machine = M;
    explicit WordCell(const typename M::Options& options) : word_{word_of(M::make_state(options))} {}

    /// Decides from the word alone if that can be done.
    template <class Command>
    [[gnu::always_inline]] bool glance(const Command& command, DecisionOf<M, Command>& decision) const noexcept {
        if constexpr (requires(std::uint64_t word) { M::glance(word, command, decision); })
            return M::glance(word_.load(std::memory_order_acquire), command, decision);
        else
            return false;
    }

    template <class Command, class Now>
    [[gnu::always_inline]] auto apply(const typename M::Options& options, const Command& command, Now& now) noexcept {
        std::uint64_t before = word_.load(std::memory_order_acquire);
        const Instant at = now();
        for (;;) {
            typename M::State state = state_of(before);
            const auto decision = M::apply(state, options, command, at);
            const std::uint64_t after = word_of(state);
            if (after == before) return decision;
            if (word_.compare_exchange_weak(before, after, std::memory_order_acq_rel, std::memory_order_acquire))
                return decision;
        }
    }
    typename M::State peek() const noexcept { return state_of(word_.load(std::memory_order_acquire)); }

private:
    static std::uint64_t word_of(const typename M::State& state) noexcept {
        std::uint64_t word = 0;
        std::memcpy(&word, &state, sizeof state);
        return word;
    }
    static typename M::State state_of(std::uint64_t word) noexcept {
        std::array<std::byte, sizeof(typename M::State)> bytes;
        std::memcpy(bytes.data(), &word, bytes.size());
        return std::bit_cast<typename M::State>(bytes);
    }

    std::atomic<std::uint64_t> word_;
};

/// A larger state: one hot word, from which most commands are decided without a write, and the state itself under the
/// cell's private lock, which is a bit of that word. What runs under the lock is a machine: it neither blocks nor
/// allocates.
template <class M>
class BlockCell {
public:
    using Machine = M;
    explicit BlockCell(const typename M::Options& options)
        : state_(M::make_state(options)), hot_{word_of(state_, options)} {}

    /// Decides from the hot word alone if that can be done.
    template <class Command>
    [[gnu::always_inline]] bool glance(const Command& command, DecisionOf<M, Command>& decision) const noexcept {
        if constexpr (requires(std::uint64_t word) { M::glance(word, command, decision); }) {
            const std::uint64_t word = hot_.load(std::memory_order_acquire);
            return (word & locked) == 0 && M::glance(word >> 1, command, decision);
        } else {
            return false;
        }
    }

    template <class Command, class Now>
    auto apply(const typename M::Options& options, const Command& command, Now& now) noexcept {
        DecisionOf<M, Command> decision{};
        const Instant at = now();
        if constexpr (requires(std::uint64_t word) { M::glance(word, options, command, at, decision); }) {
            const std::uint64_t word = hot_.load(std::memory_order_acquire);
            if ((word & locked) == 0 && M::glance(word >> 1, options, command, at, decision)) return decision;
        }
        Unlock unlock{*this, lock()};
        decision = M::apply(state_, options, command, at);
        unlock.word = word_of(state_, options);
        return decision;
    }

    typename M::State peek() const {
        const std::uint64_t word = lock();
        const Unlock unlock{*this, word};
        return state_;
    }

private:
    static constexpr std::uint64_t locked = 1;

    struct Unlock {
        const BlockCell& cell;
        std::uint64_t word;
        ~Unlock() { cell.hot_.store(word, std::memory_order_release); }
    };

    static std::uint64_t word_of(const typename M::State& state, const typename M::Options& options) noexcept {
        if constexpr (requires { M::summary(state, options); })
            return M::summary(state, options) << 1;
        else
            return 0;
    }

    /// Returns the word as it was.
    [[gnu::always_inline]] std::uint64_t lock() const noexcept {
        const std::uint64_t before = hot_.fetch_or(locked, std::memory_order_acquire);
        return (before & locked) == 0 ? before : wait_for_lock();
    }
    /// Waiters sleep and are not woken: a lock that is held for long is one whose holder has lost its core, and telling
    /// waiters would cost every caller a second atomic exchange.
    [[gnu::noinline, gnu::cold]] std::uint64_t wait_for_lock() const noexcept {
        for (int tries = 1;;) {
            while ((hot_.load(std::memory_order_relaxed) & locked) != 0) {
                constexpr timespec fifty_microseconds{.tv_sec = 0, .tv_nsec = 50'000};
                if (++tries > 64) ::nanosleep(&fifty_microseconds, nullptr);
            }
            const std::uint64_t before = hot_.fetch_or(locked, std::memory_order_acquire);
            if ((before & locked) == 0) return before;
        }
    }

    typename M::State state_;
    mutable std::atomic<std::uint64_t> hot_;
};

template <class M>
inline constexpr bool fits_word =
    std::is_trivially_copyable_v<typename M::State> && std::has_unique_object_representations_v<typename M::State> &&
    sizeof(typename M::State) <= sizeof(std::uint64_t);

}  // namespace breakwater::memory
