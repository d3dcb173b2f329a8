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

/// Leaves a word to another core for some microseconds (6 where a pause takes 13 ns), for a thread that has lost an
/// exchange to it: many exchanges in a row by one core take less time than a few by both, to each of which the word has
/// to travel. Two threads that do nothing else get 0.6 times as far as one alone without this, 0.9 times with it.
[[gnu::noinline, gnu::cold]] inline void stand_back() noexcept {
    for (int i = 0; i < 500; ++i) {
#if defined(__x86_64__) || defined(__i386__)
        __builtin_ia32_pause();
#elif defined(__aarch64__)
        asm volatile("isb" ::: "memory");
#else
        asm volatile("" ::: "memory");
#endif
    }
}

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
        const Instant at = now();  // first, so that little time is between the load and the exchange
        std::uint64_t before = word_.load(std::memory_order_acquire);
        for (;;) {
            typename M::State state = state_of(before);
            const auto decision = M::apply(state, options, command, at);
            const std::uint64_t after = word_of(state);
            if (after == before || exchange(before, after)) [[likely]]
                return decision;
        }
    }
    template <class Command, class Now>
    [[gnu::always_inline]] bool grants(const typename M::Options& options, const Command& command, Now& now) noexcept
        requires requires(typename M::State& state) { M::grants(state, options, command, Instant{}); }
    {
        const Instant at = now();
        std::uint64_t before = word_.load(std::memory_order_acquire);
        for (;;) {
            typename M::State state = state_of(before);
            if (!M::grants(state, options, command, at)) [[unlikely]]
                return false;
            if (exchange(before, word_of(state))) [[likely]]
                return true;
        }
    }
    typename M::State peek() const noexcept { return state_of(word_.load(std::memory_order_acquire)); }

private:
    /// Leaves in `before` what the word is if it was not that.
    [[gnu::always_inline]] bool exchange(std::uint64_t& before, std::uint64_t after) noexcept {
        if (word_.compare_exchange_strong(before, after, std::memory_order_acq_rel, std::memory_order_acquire))
            [[likely]]
            return true;
        stand_back();
        before = word_.load(std::memory_order_acquire);
        return false;
    }
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
            if ((word & locked) != 0) [[unlikely]]
                return false;
            return M::glance(word, command, decision);
        } else {
            return false;
        }
    }

    /// The same by the time.
    template <class Command>
    [[gnu::always_inline]] bool glance(const typename M::Options& options, const Command& command, Instant at,
                                       DecisionOf<M, Command>& decision) const noexcept {
        if constexpr (requires(std::uint64_t word) { M::glance(word, options, command, at, decision); }) {
            const std::uint64_t word = hot_.load(std::memory_order_acquire);
            return (word & locked) == 0 && M::glance(word, options, command, at, decision);
        } else {
            return false;
        }
    }

    template <class Command, class Now>
    [[gnu::always_inline]] auto apply(const typename M::Options& options, const Command& command, Now& now) noexcept {
        DecisionOf<M, Command> decision{};  // made in place
        const Instant at = now();
        if (!glance(options, command, at, decision)) apply_late(options, command, at, decision);
        return decision;
    }

    typename M::State peek() const {
        lock();
        const Unlock unlock{*this, hot_.load(std::memory_order_relaxed) & ~locked};
        return state_;
    }

private:
    static constexpr std::uint64_t locked = std::uint64_t{1} << 62;  // beyond a summary

    struct Unlock {
        const BlockCell& cell;
        std::uint64_t word;
        ~Unlock() { cell.hot_.store(word, std::memory_order_release); }
    };

    static std::uint64_t word_of(const typename M::State& state, const typename M::Options& options) noexcept {
        if constexpr (requires { M::summary(state, options); })
            return M::summary(state, options);
        else
            return 0;
    }

    template <class Command>
    [[gnu::always_inline]] void apply_at(const typename M::Options& options, const Command& command, Instant at,
                                         DecisionOf<M, Command>& decision) noexcept {
        lock();
        Unlock unlock{*this, 0};
        decision = M::apply(state_, options, command, at);
        unlock.word = word_of(state_, options);
    }
    /// Where a glance has not decided.
    template <class Command>
    [[gnu::noinline]] void apply_late(const typename M::Options& options, const Command& command, Instant at,
                                      DecisionOf<M, Command>& decision) noexcept {
        apply_at(options, command, at, decision);
    }

    [[gnu::always_inline]] bool try_lock() const noexcept {
        return (hot_.fetch_or(locked, std::memory_order_acquire) & locked) == 0;
    }
    [[gnu::always_inline]] void lock() const noexcept {
        if (!try_lock()) [[unlikely]]
            wait_for_lock();
    }
    /// Waiters sleep and are not woken: a lock that is held for long is one whose holder has lost its core, and telling
    /// waiters would cost every caller a second atomic exchange.
    [[gnu::noinline, gnu::cold]] void wait_for_lock() const noexcept {
        for (int tries = 1;;) {
            while ((hot_.load(std::memory_order_relaxed) & locked) != 0) {
                constexpr timespec fifty_microseconds{.tv_sec = 0, .tv_nsec = 50'000};
                if (++tries > 64) ::nanosleep(&fifty_microseconds, nullptr);
            }
            if (try_lock()) return;
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
