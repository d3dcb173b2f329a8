#pragma once

#include <breakwater/store/fleet/place.hpp>
#include <breakwater/store/fleet/world.hpp>
#include <breakwater/store/memory/cell.hpp>

#include <memory>
#include <type_traits>

namespace breakwater::fleet {

/// A cell that the server knows nothing of: what it remembers is this process's alone.
template <class M>
class LocalCell final : public CellEvents {
    using Memory = std::conditional_t<memory::fits_word<M>, memory::WordCell<M>, memory::BlockCell<M>>;

public:
    using Machine = M;

    template <class World>
    LocalCell(const std::shared_ptr<World>&, const Place&, const typename M::Options& options) : memory_{options} {}

    template <class Command>
    bool glance(const Command& command, DecisionOf<M, Command>& decision) const noexcept {
        return memory_.glance(command, decision);
    }
    template <class Command, class Now>
    auto apply(const typename M::Options& options, const Command& command, Now& now) noexcept {
        return memory_.apply(options, command, now);
    }
    typename M::State peek() const { return memory_.peek(); }

private:
    Memory memory_;
};

}  // namespace breakwater::fleet
