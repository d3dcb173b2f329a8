#pragma once

#include <breakwater/coalesce/table.hpp>
#include <breakwater/errc.hpp>
#include <breakwater/pipeline/policy.hpp>
#include <breakwater/result.hpp>

#include <memory>
#include <string_view>

namespace breakwater {

/// Whether an end says something about this call alone: whoever waits for the call goes on without it.
inline bool is_own_affair(const Error& error) noexcept {
    return error.code() == Errc::cancelled || error.code() == Errc::deadline_exceeded ||
           error.code() == Errc::deadline_too_near || error.code() == Errc::would_deadlock;
}

/// One call's part in a table of calls for the same: it leads, follows or has nothing to do with others. A leader that
/// goes without a word leaves the lead to the first who waits.
template <class T>
class CoalesceLane {
public:
    using Table = CoalesceTable<T>;
    using Waiter = typename Table::Waiter;

    CoalesceLane() = default;
    CoalesceLane(const CoalesceLane&) = delete;
    CoalesceLane& operator=(const CoalesceLane&) = delete;
    ~CoalesceLane() {
        if (leads_) table_->abandon(flight_);
    }

    Before join(Table& table, std::string_view key, Duration max_wait) {
        table_ = &table;
        auto joined = table.join(key);
        flight_ = std::move(joined.flight);
        leads_ = joined.leads;
        return leads_ ? proceed : queue_for(max_wait, Errc::attempt_timeout);
    }
    void enqueue(Waiter& waiter) const { table_->enqueue(flight_, waiter); }
    /// Whose time is over goes alone.
    Before settle(Waiter& waiter) noexcept {
        auto settled = table_->settle(waiter);
        leads_ = settled.leads;
        result_ = std::move(settled.result);
        return result_ != nullptr ? answer_now : proceed;
    }
    const Result<T>& answer() const noexcept { return *result_; }

    bool leads() const noexcept { return leads_; }
    /// Of the leader: ends the flight. Null: its result is not for others, who go alone.
    void finish(const Result<T>* result) {
        leads_ = false;
        table_->finish(flight_, result);
    }

private:
    Table* table_ = nullptr;
    typename Table::Ticket flight_;
    std::shared_ptr<const Result<T>> result_;
    bool leads_ = false;
};

}  // namespace breakwater
