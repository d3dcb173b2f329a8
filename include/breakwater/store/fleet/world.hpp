#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/events.hpp>
#include <breakwater/store/fleet/link.hpp>
#include <breakwater/store/fleet/options.hpp>
#include <breakwater/store/fleet/place.hpp>
#include <breakwater/store/fleet/registry.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

namespace breakwater::fleet {

/// What the handles of one store share: the link, the cells, and what is to be done later.
template <Link L>
class World final : public LinkEvents, public std::enable_shared_from_this<World<L>> {
public:
    template <class... A>
    explicit World(fleet::Options options, A&&... link_arguments)
        : options_{std::move(options)}, link_{std::forward<A>(link_arguments)...} {}

    L& link() noexcept { return link_; }
    const fleet::Options& options() const noexcept { return options_; }
    const auto& clock() const noexcept { return link_.clock(); }

    /// A name that nobody else has.
    std::string unique_name() {
        return "only-" + std::to_string(link_.instance()) + "-" + std::to_string(++unique_names_);
    }

    /// Connects, if nobody has before.
    void start() {
        State stage = State::idle;
        if (state_.compare_exchange_strong(stage, State::starting)) link_.start(*this);
    }
    /// Whether the server is worth asking: it is not known to be away. Nothing is known before the first command, which
    /// finds out.
    bool may_answer() noexcept {
        const State state = state_.load(std::memory_order_acquire);
        if (state == State::up) [[likely]]
            return !link_.is_inherited() || tell_inherited();
        if (state == State::down) return false;
        start();
        return true;
    }
    /// Whether it is known to answer.
    bool answers() const noexcept { return state_.load(std::memory_order_acquire) == State::up; }

    /// While the server cannot be reached: whether policies decide nothing themselves (`OnStoreFailure`), and if so,
    /// what.
    bool decides_for_all() noexcept { return options_.on_store_failure != OnStoreFailure::local && !may_answer(); }
    bool lets_all_through() const noexcept { return options_.on_store_failure == OnStoreFailure::open; }
    /// The same of a command that has had no answer: the first that finds the server away is not yet told so.
    bool decides_after(const LinkFailure& failure) const noexcept {
        const bool is_away = failure.kind == LinkFailure::Kind::unreachable || failure.kind == LinkFailure::Kind::lost;
        return options_.on_store_failure != OnStoreFailure::local && is_away;
    }

    /// How many processes must see a service fail before its circuit opens for all.
    std::uint32_t min_reporters() const noexcept {
        return options_.min_reporters.value_or(link_.instances() >= 3 ? 2 : 1);
    }

    /// Finds the cell of a place, or makes it with `make()`.
    template <class Cell, class Make>
    std::shared_ptr<Cell> cell(const Place& place, Make make) {
        const std::string& key = place.key;
        start();
        if (auto found = cells_.find<Cell>(key)) return found;
        auto made = cells_.add<Cell>(key, make());
        link_.watch(key);
        if (answers()) made->on_up();
        announce(place);
        return made;
    }

    /// A cell is kept in another place from now on.
    void move(const Place& place, std::weak_ptr<CellEvents> cell) {
        cells_.put(place.key, std::move(cell));
        link_.watch(place.key);
        announce(place);
    }

    /// Has `cell.on_timer()` called at `t` or a little later.
    void wake(std::weak_ptr<CellEvents> cell, Instant t) {
        {
            const std::scoped_lock lock{mutex_};
            due_.push_back({t, std::move(cell)});
        }
        link_.wake_at(t);
    }

    /// Says so once if it does not.
    bool keeps_blobs() noexcept {
        const std::string_view why = link_.why_no_blobs();
        if (why.empty()) return true;
        if (!told_of_blobs_.exchange(true))
            emit({.kind = EventKind::store_cache_off, .policy = options_.prefix, .subject = why, .at = clock().now()});
        return false;
    }
    /// Once for a key, until the server has been away.
    void tell_unreadable(const std::string& key, std::string_view why) {
        {
            const std::scoped_lock lock{mutex_};
            if (!unreadable_.insert(key).second) return;
        }
        emit({.kind = EventKind::store_unreadable, .policy = key, .subject = why, .at = clock().now()});
    }
    void emit(const Event& event) const noexcept { options_.observer(event); }

    // Whatever an event touches may let the last handle go, and this object with it: each keeps it to its end.

    void on_up() override {
        const auto self = this->weak_from_this().lock();
        const State before = state_.exchange(State::up);
        read_again();
        if (before == State::down)
            emit({.kind = EventKind::store_rejoined, .policy = options_.prefix, .at = clock().now()});
    }
    void on_down(std::string_view why) override {
        const auto self = this->weak_from_this().lock();
        if (state_.exchange(State::down) == State::down) return;
        {
            const std::scoped_lock lock{mutex_};
            unreadable_.clear();
        }
        emit({.kind = EventKind::store_degraded, .policy = options_.prefix, .subject = why, .at = clock().now()});
    }
    void on_partly_down(std::string_view why) override {
        const auto self = this->weak_from_this().lock();
        emit({.kind = EventKind::store_degraded, .policy = options_.prefix, .subject = why, .at = clock().now()});
    }
    void on_loss(std::string_view server) override {
        const auto self = this->weak_from_this().lock();
        emit({.kind = EventKind::store_lost, .policy = options_.prefix, .subject = server, .at = clock().now()});
        read_again();
    }
    void on_circuit(std::string_view key, const CircuitView& view) override {
        const auto self = this->weak_from_this().lock();
        if (const auto cell = cells_.find_any(key)) cell->on_circuit(view);
    }
    void on_pause(std::string_view key, PauseMachine::State state) override {
        const auto self = this->weak_from_this().lock();
        if (const auto cell = cells_.find_any(key)) cell->on_pause(state);
    }
    /// Some pushes may have been missed: all is read again, and from time to time while none is heard.
    void on_pushes(bool are_heard, std::string_view why) override {
        const auto self = this->weak_from_this().lock();
        is_heard_ = are_heard;
        if (!are_heard && answers())
            emit({.kind = EventKind::store_unheard, .policy = options_.prefix, .subject = why, .at = clock().now()});
        read_again();
    }
    void on_timer() override {
        const auto self = this->weak_from_this().lock();
        const Instant now = clock().now();
        if (now >= read_again_at_) read_again(cells_.some(1'000));
        std::vector<std::weak_ptr<CellEvents>> due;
        Instant next = Instant::max();
        {
            const std::scoped_lock lock{mutex_};
            std::erase_if(due_, [&](Due& entry) {
                if (entry.at > now) {
                    next = std::min(next, entry.at);
                    return false;
                }
                due.push_back(std::move(entry.cell));
                return true;
            });
        }
        for (const auto& cell : due)
            if (const auto alive = cell.lock()) alive->on_timer();
        if (next != Instant::max()) link_.wake_at(next);
        if (read_again_at_ != Instant::max()) link_.wake_at(read_again_at_);
    }

private:
    enum class State : std::uint8_t { idle, starting, up, down };
    struct Due {
        Instant at;
        std::weak_ptr<CellEvents> cell;
    };

    /// Others may keep the same in another layout, as in a rolling deployment: then they share nothing with this
    /// process.
    void announce(const Place& place) {
        link_.announce(place.stem, place.layout,
                       [self = this->weak_from_this(), stem = place.stem](std::string_view other) {
                           if (const auto world = self.lock())
                               world->emit({.kind = EventKind::store_other_layout,
                                            .policy = stem,
                                            .subject = other,
                                            .at = world->clock().now()});
                       });
    }

    /// What the server has may have changed untold. That it is read keeps it there, too.
    void read_again() { read_again(cells_.all()); }
    void read_again(const std::vector<std::shared_ptr<CellEvents>>& cells) {
        if (answers())
            for (const auto& cell : cells) cell->on_up();
        read_again_at_ = clock().now() + (is_heard_ ? options_.refresh_interval : options_.poll_interval);
        link_.wake_at(read_again_at_);
    }

    /// In the child of a fork, where the locks of this object may be held for ever.
    bool tell_inherited() noexcept {
        State state = State::up;
        if (state_.compare_exchange_strong(state, State::down))
            emit({.kind = EventKind::store_degraded,
                  .policy = options_.prefix,
                  .subject = "inherited by fork: make stores after it",
                  .at = clock().now()});
        return false;
    }

    const fleet::Options options_;
    Registry cells_;
    std::atomic<std::uint64_t> unique_names_ = 0;
    std::atomic<bool> told_of_blobs_ = false;
    std::atomic<State> state_ = State::idle;
    std::mutex mutex_;
    std::vector<Due> due_;
    std::unordered_set<std::string> unreadable_;  // told of
    // The link's thread's own.
    bool is_heard_ = true;
    Instant read_again_at_ = Instant::max();
    L link_;  // last: it stops before what its events touch goes
};

/// Takes an answer to `then(cell, reply)`, if the cell is still there: an answer under way keeps nothing alive, so that
/// a store goes with its last handle.
template <class Cell, class F>
auto if_alive(Cell& cell, F then) {
    return [weak = cell.weak_from_this(), then = std::move(then)](auto reply) {
        if (const auto alive = weak.lock()) then(*alive, std::move(reply));
    };
}

}  // namespace breakwater::fleet
