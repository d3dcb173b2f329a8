#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/result.hpp>
#include <breakwater/store/memory/blobs.hpp>
#include <breakwater/store/memory/cell.hpp>
#include <breakwater/store/store.hpp>

#include <algorithm>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <typeinfo>
#include <unordered_map>
#include <utility>

namespace breakwater {

struct MemoryStoreOptions {
    std::size_t max_blob_bytes = std::size_t{64} << 20;  ///< Blobs beyond this are dropped, least recently used first.
    Duration idle_ttl = std::chrono::hours{1};           ///< How long a cell that no handle refers to is kept.
};

/// State in this process's memory. Each `MemoryStore{}` is a world of its own; copies share it.
///
/// Thread-safe. Applying a command hashes nothing and allocates nothing: the cell was resolved when the policy was
/// built, and is lock-free where the state fits 8 bytes: then who loses an exchange to another core spins for some
/// microseconds before the next. Cells outlive the store as long as a policy holds them.
template <Clock C = SteadyClock>
class MemoryStore {
public:
    template <class M>
    using Cell = std::conditional_t<memory::fits_word<M>, memory::WordCell<M>, memory::BlockCell<M>>;

    static constexpr bool is_deferred = false;

    explicit MemoryStore(C clock, MemoryStoreOptions options = {})
        : world_{std::make_shared<World>(std::move(clock), options)} {}
    explicit MemoryStore(MemoryStoreOptions options = {})
        requires std::default_initializable<C>
        : MemoryStore{C{}, options} {}

    const C& clock() const noexcept { return world_->clock; }

    template <Machine M>
    std::shared_ptr<Cell<M>> cell(std::string_view kind, std::string_view name,
                                  const typename M::Options& options) const {
        return object<Cell<M>>(kind, name, M::layout(options), [&] { return std::make_shared<Cell<M>>(options); });
    }

    /// An object found by kind, name, layout and type, made by `make()` if there is none; one of its own if `name` is
    /// empty. Must not keep a copy of this store. `make` is called with nothing held, and for nothing if another thread
    /// is quicker.
    template <class T, class Make>
    std::shared_ptr<T> object(std::string_view kind, std::string_view name, std::string_view layout, Make make) const {
        if (name.empty()) return make();
        std::string key;
        for (const std::string_view part : {kind, name, layout}) {
            key.append(std::to_string(part.size())).append(":").append(part);
        }
        key += typeid(T).name();
        if (auto found = find<T>(key)) return found;
        std::shared_ptr<T> made = make();
        const std::scoped_lock lock{world_->mutex};
        if (auto found = find_locked<T>(key)) return found;
        if (world_->cells.size() >= world_->sweep_at) sweep();
        world_->cells.emplace(std::move(key), Entry{made, {}});
        return made;
    }

    /// An empty store of the same clock, in which a cell goes soon after the last handle that refers to it.
    MemoryStore apart() const { return MemoryStore{clock(), MemoryStoreOptions{.idle_ttl = Duration{0}}}; }

    /// Applies one command atomically. Reads `now`: what needs no time is decided by `glance`. Never blocks for long:
    /// see `cell.hpp`.
    template <class Cell, class Command, class Now>
    [[gnu::always_inline]] auto apply(const Step<Cell, Command>& step, Now& now) const noexcept {
        return step.cell.apply(step.options, step.command, now);
    }

    /// Decides without a write and without the time where that can be done; says whether it did.
    template <class Cell, class Command>
    [[gnu::always_inline]] bool glance(const Step<Cell, Command>& step,
                                       typename Step<Cell, Command>::Decision& decision) const noexcept {
        return step.cell.glance(step.command, decision);
    }
    /// The same with the time.
    template <class Cell, class Command>
        requires requires(const Step<Cell, Command>& step, typename Step<Cell, Command>::Decision& decision) {
            step.cell.glance(step.options, step.command, Instant{}, decision);
        }
    [[gnu::always_inline]] bool glance(const Step<Cell, Command>& step, Instant at,
                                       typename Step<Cell, Command>::Decision& decision) const noexcept {
        return step.cell.glance(step.options, step.command, at, decision);
    }

    /// Applies a command that grants something; says no, without having done anything, where it would be refused.
    template <class Cell, class Command, class Now>
        requires requires(const Step<Cell, Command>& step, Now& now) {
            step.cell.grants(step.options, step.command, now);
        }
    [[gnu::always_inline]] bool grants(const Step<Cell, Command>& step, Now& now) const noexcept {
        return step.cell.grants(step.options, step.command, now);
    }

    /// Applies the steps in order as one: a tuple of optional decisions, empty after the first refusal, whose
    /// predecessors have been undone.
    template <class Now, class... Cells, class... Commands>
    auto apply(Now& now, const Step<Cells, Commands>&... steps) const noexcept {
        return take_in_order(now, steps...);
    }

    template <class Cell>
    typename Cell::Machine::State peek(const Cell& cell) const {
        return cell.peek();
    }

    /// Keeps `value` for `ttl` in place of any earlier one. A value larger than the whole bound is not kept. Returns
    /// how many others were dropped to make room.
    std::size_t put(std::string_view key, std::string value, Duration ttl) const {
        if (ttl > Duration{0}) return world_->blobs.put(key, std::move(value), ttl);
        erase(key);
        return 0;
    }
    /// The value, or null if there is none or its time has passed.
    std::shared_ptr<const std::string> get(std::string_view key) const { return world_->blobs.get(key); }
    void erase(std::string_view key) const { world_->blobs.erase(key); }

    /// How many named cells and blob bytes are kept, for tests and snapshots.
    std::size_t cell_count() const {
        const std::scoped_lock lock{world_->mutex};
        return world_->cells.size();
    }
    std::size_t blob_bytes() const { return world_->blobs.bytes(); }

    /// Drops every cell that no handle has referred to for `idle_ttl`. Also happens by itself as cells are added.
    void expire_idle() const {
        const std::scoped_lock lock{world_->mutex};
        sweep();
    }

private:
    struct Entry {
        std::shared_ptr<void> cell;
        std::optional<Instant> idle_since;
    };
    struct World {
        World(C c, const MemoryStoreOptions& o) : clock{std::move(c)}, options{o}, blobs{clock, o.max_blob_bytes} {}
        const C clock;
        const MemoryStoreOptions options;
        std::mutex mutex;
        std::unordered_map<std::string, Entry> cells;
        std::size_t sweep_at = 64;
        memory::Blobs<C> blobs;
    };

    template <class T>
    std::shared_ptr<T> find(const std::string& key) const {
        const std::scoped_lock lock{world_->mutex};
        return find_locked<T>(key);
    }
    template <class T>
    std::shared_ptr<T> find_locked(const std::string& key) const {
        const auto found = world_->cells.find(key);
        if (found == world_->cells.end()) return nullptr;
        found->second.idle_since.reset();
        return std::static_pointer_cast<T>(found->second.cell);
    }

    // A cell counts as idle from the first sweep that finds it without a handle: the hot path need not note its use.
    void sweep() const {
        const Instant now = world_->clock.now();
        for (auto& [key, entry] : world_->cells) {
            if (entry.cell.use_count() > 1)
                entry.idle_since.reset();
            else if (!entry.idle_since)
                entry.idle_since = now;
        }
        std::erase_if(world_->cells, [&](const auto& item) {
            return item.second.idle_since && now - *item.second.idle_since >= world_->options.idle_ttl;
        });
        world_->sweep_at = std::max<std::size_t>(64, world_->cells.size() * 2);
    }

    std::shared_ptr<World> world_;
};

MemoryStore() -> MemoryStore<SteadyClock>;
MemoryStore(MemoryStoreOptions) -> MemoryStore<SteadyClock>;
template <Clock C>
MemoryStore(C) -> MemoryStore<C>;
template <Clock C>
MemoryStore(C, MemoryStoreOptions) -> MemoryStore<C>;

}  // namespace breakwater
