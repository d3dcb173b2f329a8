#pragma once

#include <breakwater/store/memory.hpp>
#include <breakwater/store/store.hpp>
#include <breakwater/testing/manual_clock.hpp>

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>

namespace breakwater::test {

/// A memory as a store that may fail, and that knows a cell's latest state without being asked. It never fails: that is
/// for a `FaultyStore` around it.
class TellingMemory {
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

    explicit TellingMemory(Memory memory) : memory_{std::move(memory)} {}
    const ManualClock& clock() const noexcept { return memory_.clock(); }

    template <Machine M>
    auto cell(std::string_view kind, std::string_view name, const typename M::Options& options) const {
        return std::make_shared<Cell<M>>(memory_.template cell<M>(kind, name, options));
    }
    template <class Now, class... M, class... Commands>
    auto try_apply(Now& now, const Step<Cell<M>, Commands>&... steps) const {
        auto decisions = std::optional{memory_.apply(now, Step{*steps.cell.kept, steps.options, steps.command}...)};
        (see(steps.cell), ...);
        return decisions;
    }
    template <class M>
    std::optional<typename M::State> try_peek(const Cell<M>& cell) const {
        return cell.kept->peek();
    }
    template <class M>
    typename M::State latest(Cell<M>& cell) const {
        const std::scoped_lock lock{cell.mutex};
        return cell.latest;
    }
    bool try_put(std::string_view key, std::string value, Duration ttl) const {
        memory_.put(key, std::move(value), ttl);
        return true;
    }
    std::optional<std::shared_ptr<const std::string>> try_get(std::string_view key) const { return memory_.get(key); }

private:
    template <class M>
    static void see(Cell<M>& cell) {
        const std::scoped_lock lock{cell.mutex};
        cell.latest = cell.kept->peek();
    }

    Memory memory_;
};

}  // namespace breakwater::test
