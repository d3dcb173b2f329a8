#pragma once

#include <breakwater/store/local_fallback.hpp>
#include <breakwater/store/memory.hpp>
#include <breakwater/testing/manual_clock.hpp>

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>

namespace breakwater::test {

/// How a store under test answers.
enum class Power : std::uint8_t { on, off, broken };

/// A memory that can be switched off (it says nothing then), and be broken (it throws). It counts how often it is
/// asked. `TellsLatest`: it knows a cell's latest state without being asked.
template <bool TellsLatest>
class SwitchedStore {
    using Memory = MemoryStore<ManualClock>;

public:
    template <class M>
    struct Cell {
        using Machine = M;
        explicit Cell(std::shared_ptr<typename Memory::Cell<M>> cell) : kept{std::move(cell)}, latest{kept->peek()} {}
        std::shared_ptr<typename Memory::Cell<M>> kept;
        std::mutex mutex{};
        typename M::State latest;
    };
    static constexpr bool is_deferred = false;

    explicit SwitchedStore(Memory memory) : memory_{std::move(memory)} {}
    const ManualClock& clock() const noexcept { return memory_.clock(); }
    void set(Power power) const { shared_->power = power; }
    int tries() const { return shared_->tries; }
    /// As another process has it, which nothing keeps from it.
    const Memory& memory() const { return memory_; }

    template <Machine M>
    auto cell(std::string_view kind, std::string_view name, const typename M::Options& options) const {
        return std::make_shared<Cell<M>>(memory_.template cell<M>(kind, name, options));
    }
    template <class Now, class... M, class... Commands>
    auto try_apply(Now& now, const Step<Cell<M>, Commands>&... steps) const {
        std::optional<std::tuple<std::optional<DecisionOf<M, Commands>>...>> decisions;
        if (!answers()) return decisions;
        decisions = memory_.apply(now, Step{*steps.cell.kept, steps.options, steps.command}...);
        (see(steps.cell), ...);
        return decisions;
    }
    template <class M>
    std::optional<typename M::State> try_peek(const Cell<M>& cell) const {
        if (!answers()) return {};
        return cell.kept->peek();
    }
    template <class M>
    typename M::State latest(Cell<M>& cell) const
        requires TellsLatest
    {
        const std::scoped_lock lock{cell.mutex};
        return cell.latest;
    }
    bool try_put(std::string_view key, std::string value, Duration ttl) const {
        if (!answers()) return false;
        memory_.put(key, std::move(value), ttl);
        return true;
    }
    std::optional<std::shared_ptr<const std::string>> try_get(std::string_view key) const {
        if (!answers()) return {};
        return memory_.get(key);
    }

private:
    struct Shared {
        std::atomic<Power> power = Power::on;
        std::atomic<int> tries = 0;
    };

    bool answers() const {
        ++shared_->tries;
        if (shared_->power == Power::broken) throw std::runtime_error{"a fuse has blown"};
        return shared_->power == Power::on;
    }
    template <class M>
    static void see(Cell<M>& cell) {
        const std::scoped_lock lock{cell.mutex};
        cell.latest = cell.kept->peek();
    }

    Memory memory_;
    std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
};

}  // namespace breakwater::test
