#pragma once

#include <breakwater/rate_limiter/machine.hpp>
#include <breakwater/store/fleet/circuit_machine.hpp>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace breakwater::fleet {

/// A cell as its world knows it. Called on the link's thread, with nothing held.
class CellEvents {
public:
    virtual ~CellEvents() = default;
    /// The server answers again, or may have changed untold: what it has is looked at.
    virtual void on_up() {}
    virtual void on_circuit(const CircuitView&) {}
    virtual void on_pause(PauseMachine::State) {}
    /// The time of `World::wake` has come.
    virtual void on_timer() {}
};

/// The cells of this process by their keys, as long as a policy holds them. Thread-safe.
class Registry {
    using Cells = std::vector<std::shared_ptr<CellEvents>>;

public:
    /// The cell of that key and type; null if there is none.
    template <class Cell>
    std::shared_ptr<Cell> find(const std::string& key) {
        return std::dynamic_pointer_cast<Cell>(find_any(key));
    }
    std::shared_ptr<CellEvents> find_any(std::string_view key) {
        const std::scoped_lock lock{mutex_};
        const auto found = cells_.find(std::string{key});
        return found == cells_.end() ? nullptr : found->second.lock();
    }
    /// Adds a cell, unless there is one of that key and type: returns the one that is there then.
    template <class Cell>
    std::shared_ptr<Cell> add(const std::string& key, std::shared_ptr<Cell> made) {
        std::shared_ptr<CellEvents> there;  // let go of after the lock
        const std::scoped_lock lock{mutex_};
        if (const auto found = cells_.find(key); found != cells_.end()) there = found->second.lock();
        if (auto same = std::dynamic_pointer_cast<Cell>(there)) return same;
        put_locked(key, made);
        return made;
    }
    void put(const std::string& key, std::weak_ptr<CellEvents> cell) {
        const std::scoped_lock lock{mutex_};
        put_locked(key, std::move(cell));
    }

    Cells all() {
        const std::scoped_lock lock{mutex_};
        Cells alive;
        for (const auto& [key, cell] : cells_) add_if_alive(alive, cell);
        return alive;
    }
    /// The next `count` or so: each comes up in its turn.
    Cells some(std::size_t count) {
        const std::scoped_lock lock{mutex_};
        Cells alive;
        for (std::size_t looked = 0; looked < cells_.bucket_count() && alive.size() < count; ++looked) {
            next_bucket_ = (next_bucket_ + 1) % cells_.bucket_count();
            for (auto it = cells_.begin(next_bucket_); it != cells_.end(next_bucket_); ++it)
                add_if_alive(alive, it->second);
        }
        return alive;
    }

private:
    void put_locked(const std::string& key, std::weak_ptr<CellEvents> cell) {
        if (cells_.size() >= sweep_at_) {
            std::erase_if(cells_, [](const auto& entry) { return entry.second.expired(); });
            sweep_at_ = std::max<std::size_t>(64, 2 * cells_.size());
        }
        cells_.insert_or_assign(key, std::move(cell));
    }
    static void add_if_alive(Cells& alive, const std::weak_ptr<CellEvents>& cell) {
        if (auto held = cell.lock()) alive.push_back(std::move(held));
    }

    std::mutex mutex_;
    std::unordered_map<std::string, std::weak_ptr<CellEvents>> cells_;
    std::size_t sweep_at_ = 64;
    std::size_t next_bucket_ = 0;
};

}  // namespace breakwater::fleet
