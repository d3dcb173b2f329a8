#pragma once

#include <breakwater/store/redis/connection/slots.hpp>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace breakwater::redis {

/// What every thread may know of the connections without asking the I/O thread, which writes it.
class Reachable {
public:
    enum class State : std::uint8_t {
        starting,  ///< The first connections are being made: commands wait, at most `command_timeout`.
        up,
        down,
    };

    State state() const noexcept { return state_.load(std::memory_order_acquire); }
    bool is_cluster() const noexcept { return is_cluster_.load(std::memory_order_relaxed); }
    /// Of a cluster that is up: whether the slot's master is, too.
    bool has_slot(std::uint16_t slot) const noexcept {
        return (slots_[slot / 64].load(std::memory_order_relaxed) >> (slot % 64) & 1U) != 0;
    }

    void set(State state) noexcept { state_.store(state, std::memory_order_release); }
    void set_cluster() noexcept { is_cluster_.store(true, std::memory_order_relaxed); }
    /// The slots of one word of 64.
    void set_slots(std::size_t word, std::uint64_t bits) noexcept {
        slots_[word].store(bits, std::memory_order_relaxed);
    }

private:
    std::atomic<State> state_{State::starting};
    std::atomic<bool> is_cluster_{false};
    std::array<std::atomic<std::uint64_t>, cluster_slots / 64> slots_{};
};

}  // namespace breakwater::redis
