#pragma once

#include <breakwater/cache.hpp>
#include <breakwater/client/options.hpp>
#include <breakwater/coalesce/lane.hpp>
#include <breakwater/coalesce/table.hpp>
#include <breakwater/detail/rare.hpp>
#include <breakwater/events.hpp>
#include <breakwater/http/cache_control.hpp>
#include <breakwater/http/request.hpp>
#include <breakwater/http/response.hpp>
#include <breakwater/pipeline/policy.hpp>
#include <breakwater/result.hpp>
#include <breakwater/store/store.hpp>
#include <breakwater/task.hpp>
#include <breakwater/task/now_or_later.hpp>
#include <breakwater/task/start.hpp>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace breakwater {

/// One transfer for equal GETs that are under way at once. Stands inside the fallback: each call has its own.
///
/// Where the store can keep claims, also for those of other processes, if the cache that they share may answer: one
/// process has the claim, and the others look into the cache until the answer is there, the claim is gone, or they have
/// waited for as long as they do for a call of their own process.
template <Store StoreType>
class ClientCoalescePolicy {
    static constexpr bool has_claims =
        requires(const StoreType& store) { store.claim(std::string_view{}, Duration{}); };
    /// How often a process looks whether another one's answer is there.
    static constexpr Duration look_again = std::chrono::milliseconds{20};

public:
    using Table = CoalesceTable<Response>;
    using Waiter = Table::Waiter;

    /// Empty for a call that has nothing to do with others.
    class Lane {
        friend ClientCoalescePolicy;
        struct Part : CoalesceLane<Response> {
            ~Part() { give_up_claim(); }
            void give_up_claim() noexcept {
                if (!claim.empty()) store->erase(std::exchange(claim, {}));
            }
            const StoreType* store = nullptr;
            std::string claim{};                // empty: none
            std::optional<Instant> patience{};  // until when another process is waited for
            std::optional<Response> found{};    // what that has left in the cache
        };
        bool leads() const noexcept { return part_ && part_->leads(); }
        detail::Rare<Part> part_;
    };

    /// Goes on with the calls of `before`, if there is one.
    ClientCoalescePolicy(const ClientCoalesceOptions& options, ResponseCache<StoreType> cache, std::string name,
                         const StoreType& store, const ClientCoalescePolicy* before = nullptr)
        : options_{options},
          cache_{std::move(cache)},
          name_{std::move(name)},
          store_{store},
          table_{before == nullptr ? std::make_shared<Table>() : before->table_} {}

    static std::string_view name() noexcept { return "coalesce"; }

    bool glance(Lane&, auto& call) const noexcept {
        return options_.calls == CoalesceCalls::none || (options_.calls == CoalesceCalls::cached && !call.is_cached);
    }
    Before before(Lane& lane, auto& call) const {
        const Before joined = join(lane, call);
        if constexpr (has_claims) {
            if (asks_others(lane, call)) return run_here(ask_others(lane, call));
        }
        return joined;
    }
    NowOrLater<Before> async_before(Lane& lane, auto& call) const
        requires AsyncStore<StoreType>
    {
        const Before joined = join(lane, call);
        if (!asks_others(lane, call)) return joined;
        return ask_others(lane, call);
    }
    bool enqueue(Lane& lane, Waiter& waiter) const {
        lane.part_->enqueue(waiter);
        return true;
    }
    Before settle(Lane& lane, Waiter& waiter) const noexcept { return lane.part_->settle(waiter); }
    Result<Response> answer(Lane& lane, auto& call) const {
        auto& part = *lane.part_;
        Result<Response> result = part.found ? Result<Response>{*std::move(part.found)} : part.answer();
        if (result) result->source = Source::coalesced;
        if (part.leads()) part.finish(&result);
        call.emit({.kind = EventKind::coalesced, .policy = name()});
        return result;
    }
    After after(Lane& lane, auto& call, const Result<Response>& result) const {
        if (lane.leads()) {
            if (!result && is_own_affair(result.error())) return done;
            const bool is_for_others = !result || !parse_cache_control(result->headers).no_store;
            lane.part_->finish(is_for_others ? &result : nullptr);
            if (result && is_for_others) lane.part_->claim.clear();  // it is on its way into the cache
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

    /// Among the calls of this process.
    Before join(Lane& lane, auto& call) const {
        if (lane.leads() || glance(lane, call) || call.request.method != Method::get || call.request.body ||
            call.download != nullptr || call.options.progress)
            return proceed;
        return lane.part_.emplace().join(*table_, key_of(call.request), options_.max_wait);
    }

    // Whether this process is to make the call.

    static bool asks_others(const Lane& lane, auto& call) noexcept { return lane.leads() && call.is_cached; }
    Task<Before> ask_others(Lane& lane, auto& call) const {
        const Instant now = call.now();
        auto& part = *lane.part_;
        if (!part.patience) {
            part.patience = now + options_.max_wait;
        } else {
            auto looking = cache_.async_find(call.request);
            if (auto kept = co_await looking; kept && store_.clock().now() < kept->fresh_until) {
                part.found = std::move(kept->response);
                co_return answer_now;
            }
        }
        std::string claim = "claim:" + name_ + ":" + key_of(call.request);
        auto claiming = this->claim(claim);
        if (co_await claiming) {
            part.store = &store_;
            part.claim = std::move(claim);
            co_return proceed;
        }
        const bool can_wait = now + look_again < *part.patience && call.remaining() > look_again;
        co_return can_wait ? wait_for(look_again, Errc::attempt_timeout) : proceed;
    }
    Task<bool> claim(const std::string& claim) const {
        if constexpr (AsyncStore<StoreType>)
            return later(store_.async_claim(claim, options_.max_wait));
        else
            return later(NowOrLater<bool>{store_.claim(claim, options_.max_wait)});
    }

    ClientCoalesceOptions options_;
    ResponseCache<StoreType> cache_;
    std::string name_;
    StoreType store_;
    std::shared_ptr<Table> table_;
};

}  // namespace breakwater
