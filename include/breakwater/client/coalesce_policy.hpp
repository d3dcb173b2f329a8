#pragma once

#include <breakwater/client/options.hpp>
#include <breakwater/coalesce/lane.hpp>
#include <breakwater/coalesce/table.hpp>
#include <breakwater/events.hpp>
#include <breakwater/http/cache_control.hpp>
#include <breakwater/http/request.hpp>
#include <breakwater/http/response.hpp>
#include <breakwater/pipeline/policy.hpp>
#include <breakwater/result.hpp>

#include <memory>
#include <string>
#include <string_view>

namespace breakwater {

/// One transfer for equal GETs that are under way at once. Stands inside the fallback: each call has its own.
class ClientCoalescePolicy {
public:
    using Table = CoalesceTable<Response>;
    using Lane = CoalesceLane<Response>;
    using Waiter = Table::Waiter;

    /// Goes on with the calls of `before`, if there is one.
    explicit ClientCoalescePolicy(const ClientCoalesceOptions& options, const ClientCoalescePolicy* before = nullptr)
        : options_{options}, table_{before == nullptr ? std::make_shared<Table>() : before->table_} {}

    std::string_view name() const noexcept { return "coalesce"; }

    bool glance(Lane&, auto& call) const noexcept {
        return options_.calls == CoalesceCalls::none || (options_.calls == CoalesceCalls::cached && !call.is_cached);
    }
    Before before(Lane& lane, auto& call) const {
        if (glance(lane, call) || call.request.method != Method::get || call.request.body || call.download != nullptr ||
            call.options.progress)
            return proceed;
        return lane.join(*table_, key_of(call.request), options_.max_wait);
    }
    bool enqueue(Lane& lane, Waiter& waiter) const {
        lane.enqueue(waiter);
        return true;
    }
    Before settle(Lane& lane, Waiter& waiter) const noexcept { return lane.settle(waiter); }
    Result<Response> answer(Lane& lane, auto& call) const {
        Result<Response> result = lane.answer();
        if (result) result->source = Source::coalesced;
        call.emit({.kind = EventKind::coalesced, .policy = name()});
        return result;
    }
    After after(Lane& lane, auto& call, const Result<Response>& result) const {
        if (lane.leads()) {
            if (!result && is_own_affair(result.error())) return done;
            lane.finish(result && parse_cache_control(result->headers).no_store ? nullptr : &result);
        } else if (result && !call.request.method.is_safe() && options_.calls != CoalesceCalls::none) {
            const std::string changed = call.request.url + '\n';
            table_->forget([&](std::string_view key) { return key.starts_with(changed); });
        }
        return done;
    }

private:
    static std::string key_of(const Request& request) {
        std::string key = request.url + '\n';
        for (const auto& [name, value] : request.headers) key.append(name).append(":").append(value).append("\n");
        return key;
    }

    ClientCoalesceOptions options_;
    std::shared_ptr<Table> table_;
};

}  // namespace breakwater
