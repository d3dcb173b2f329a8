#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/store/redis/connection/command.hpp>
#include <breakwater/store/redis/connection/greeting.hpp>

#include <algorithm>
#include <deque>
#include <utility>

namespace breakwater::redis {

/// What one connection has been asked and has not answered yet, in the order of the answers.
class ExpectedReplies {
public:
    struct Entry {
        Purpose purpose;
        Instant deadline;
        Command command{};  ///< Of `Purpose::command`.
    };

    bool empty() const noexcept { return entries_.empty(); }
    void push(Purpose purpose, Instant deadline) { entries_.push_back({purpose, deadline}); }
    void push(Command&& command) {
        if (command.resent > 0) ++resent_;
        const Instant deadline = command.deadline;
        entries_.push_back({Purpose::command, deadline, std::move(command)});
    }
    /// The next; there is one.
    Entry pop() {
        Entry entry = std::move(entries_.front());
        entries_.pop_front();
        if (entry.command.resent > 0) --resent_;
        return entry;
    }

    Instant earliest_deadline() const noexcept {
        if (entries_.empty()) return Instant::max();
        if (resent_ == 0) return entries_.front().deadline;
        // One that was sent again is older than its place.
        return std::ranges::min_element(entries_, {}, &Entry::deadline)->deadline;
    }

    /// No more answers come: ends every command so, or as timed out if its time is over.
    void complete(Reply::Kind kind, Instant now) {
        for (Entry& entry : entries_) {
            if (entry.purpose == Purpose::command)
                entry.command.complete(entry.deadline <= now ? Reply::Kind::timed_out : kind);
        }
    }

private:
    std::deque<Entry> entries_;
    unsigned resent_ = 0;  // how many of them were sent before
};

}  // namespace breakwater::redis
