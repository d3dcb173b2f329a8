#pragma once

#include <breakwater/detail/exceptions.hpp>
#include <breakwater/result.hpp>

#include <cstddef>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace breakwater {

/// Which calls are under way for which key: one leads, and those that follow it wait for what it brings. Thread-safe;
/// nothing in it blocks.
template <class T>
class CoalesceTable {
public:
    class Waiter;

    /// One call for a key and those that wait for it.
    class Flight {
        friend CoalesceTable;
        explicit Flight(std::string key) : key_{std::move(key)} {}
        const std::string key_;
        bool is_listed_ = true;  // whoever comes finds it
        bool is_over_ = false;
        Waiter* first_ = nullptr;
        Waiter* last_ = nullptr;
        std::shared_ptr<const Result<T>> result_;  // null: it is not for others
    };
    using Ticket = std::shared_ptr<Flight>;

    /// One follower's place, which stays where it is. Destroyed before `settle` it leaves the queue.
    class Waiter {
    public:
        Waiter() = default;
        Waiter(const Waiter&) = delete;
        Waiter& operator=(const Waiter&) = delete;
        ~Waiter() {
            if (table_ == nullptr) return;
            const Ticket flight = flight_;
            if (table_->settle(*this).leads) table_->abandon(flight);
        }

        /// Is stopped when the leader is back or has left the lead to this one.
        std::stop_source turn() const noexcept { return turn_; }

    private:
        friend CoalesceTable;
        CoalesceTable* table_ = nullptr;  // null: not in a queue
        Ticket flight_;
        Waiter* before_ = nullptr;
        Waiter* after_ = nullptr;
        bool is_queued_ = false;
        bool leads_ = false;
        std::stop_source turn_;
    };

    struct Joined {
        Ticket flight;
        bool leads = false;
    };
    /// Takes the lead for the key, or finds the one who has it.
    Joined join(std::string_view key) {
        const std::scoped_lock lock{mutex_};
        if (const auto found = flights_.find(key); found != flights_.end()) return {found->second, false};
        Ticket flight{new Flight{std::string{key}}};
        flights_.emplace(flight->key_, flight);
        return {std::move(flight), true};
    }

    /// Waits for what the leader brings: see `Waiter::turn`.
    void enqueue(const Ticket& flight, Waiter& waiter) {
        const std::scoped_lock lock{mutex_};
        waiter.table_ = this;
        waiter.flight_ = flight;
        if (flight->is_over_) {
            waiter.turn_.request_stop();  // nobody hears it yet
            return;
        }
        waiter.is_queued_ = true;
        waiter.before_ = std::exchange(flight->last_, &waiter);
        (waiter.before_ != nullptr ? waiter.before_->after_ : flight->first_) = &waiter;
    }

    struct Settled {
        bool leads = false;
        std::shared_ptr<const Result<T>> result{};  ///< Null without the lead: go alone.
    };
    /// Ends the waiting.
    Settled settle(Waiter& waiter) noexcept {
        const std::scoped_lock lock{mutex_};
        waiter.table_ = nullptr;
        const Ticket flight = std::move(waiter.flight_);
        if (waiter.is_queued_) unlink(*flight, waiter);
        if (waiter.leads_) return {.leads = true};
        return {.result = flight->result_};
    }

    /// The leader is back: those who wait have its result, or go alone if that is null. Whoever comes later leads anew.
    void finish(const Ticket& flight, const Result<T>* result) {
        bool is_awaited = false;
        {
            const std::scoped_lock lock{mutex_};
            unlist(*flight);
            is_awaited = flight->first_ != nullptr;
            flight->is_over_ = !is_awaited;  // who is about to queue goes alone
        }
        if (!is_awaited) return;
        std::shared_ptr<const Result<T>> copy;
        if (result != nullptr) {
            BREAKWATER_TRY { copy = std::make_shared<const Result<T>>(*result); }
            BREAKWATER_CATCH_ALL {  // it cannot be copied
            }
        }
        {
            const std::scoped_lock lock{mutex_};
            flight->result_ = std::move(copy);
            flight->is_over_ = true;
        }
        while (auto turn = next_turn(*flight, false)) turn->request_stop();
    }

    /// The leader leaves without a result: the first who waits leads.
    void abandon(const Ticket& flight) noexcept {
        if (auto turn = next_turn(*flight, true)) turn->request_stop();
    }

    /// Whoever comes from now on for such keys leads anew, as what is under way may be out of date.
    template <class Matches>
    void forget(Matches matches) {
        const std::scoped_lock lock{mutex_};
        std::erase_if(flights_, [&](const auto& entry) {
            if (!matches(entry.first)) return false;
            entry.second->is_listed_ = false;
            return true;
        });
    }

    /// How many keys are under way now.
    std::size_t size() const {
        const std::scoped_lock lock{mutex_};
        return flights_.size();
    }

private:
    void unlist(Flight& flight) noexcept {
        if (std::exchange(flight.is_listed_, false)) flights_.erase(flight.key_);
    }
    static void unlink(Flight& flight, Waiter& waiter) noexcept {
        (waiter.before_ != nullptr ? waiter.before_->after_ : flight.first_) = waiter.after_;
        (waiter.after_ != nullptr ? waiter.after_->before_ : flight.last_) = waiter.before_;
        waiter.is_queued_ = false;
    }
    /// Takes the first out of the queue. With nobody there, a flight that looks for another leader is over.
    std::optional<std::stop_source> next_turn(Flight& flight, bool leads) noexcept {
        const std::scoped_lock lock{mutex_};
        if (flight.first_ == nullptr) {
            unlist(flight);
            flight.is_over_ = true;
            return {};
        }
        Waiter& next = *flight.first_;
        unlink(flight, next);
        next.leads_ = leads;
        return next.turn_;
    }

    mutable std::mutex mutex_;
    std::unordered_map<std::string_view, Ticket> flights_;  // by their own keys
};

}  // namespace breakwater
