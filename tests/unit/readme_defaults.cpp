// README.md lists every option of the client with its default: this compares the table with the code.
#include <breakwater/bulkhead/options.hpp>
#include <breakwater/client/options.hpp>
#include <breakwater/detail/invalid_option.hpp>
#include <breakwater/store/memory.hpp>
#include <breakwater/store/redis/options.hpp>
#include <breakwater/transport/curl/options.hpp>

#include <catch_shim.hpp>

#include <fstream>
#include <initializer_list>
#include <map>
#include <string>

namespace bw = breakwater;

namespace {

using Table = std::map<std::string, std::string>;

/// The rows "| `name` | default | …" between the heading and the next one.
Table table_of_readme() {
    std::ifstream in{BREAKWATER_SOURCE_DIR "/README.md"};
    Table table;
    bool inside = false;
    for (std::string line; std::getline(in, line);) {
        if (line.starts_with("## ")) inside = line == "## Options and defaults";
        if (!inside || !line.starts_with("| `")) continue;
        const auto name_end = line.find("` | ");
        const auto value_end = line.find(" |", name_end + 4);
        table[line.substr(3, name_end - 3)] = line.substr(name_end + 4, value_end - name_end - 4);
    }
    return table;
}

std::string text(bw::Duration value) { return bw::detail::option_text(value); }
std::string text(std::integral auto value) { return std::to_string(value); }

/// A rule cannot be looked into: without one, what `retry_by_default` says holds.
bool has_rule(const bw::RetryRule& rule) {
    const bw::Error lost{bw::Errc::receive_failed};
    const bw::Error large{bw::Errc::too_large};
    return rule(lost) != bw::retry_by_default(lost) || rule(large) != bw::retry_by_default(large);
}

Table table_of_code() {
    const bw::ClientOptions o;
    Table t;
    const auto none = [](bool empty) { return std::string{empty ? "none" : "SOMETHING"}; };
    const bool no_secrets = o.redact.query.empty() && o.redact.headers.empty() && o.redact.values.empty();
    t["name`, `base_url`, `headers`, `auth`, `redact`, `observer`, `begin_trace"] =
        none(o.name.empty() && o.base_url.empty() && o.headers.empty() && o.auth.index() == 0 && no_secrets &&
             !o.observer && !o.begin_trace);
    t["timeouts"] = "attempt " + text(o.timeouts.attempt) + ", connect " + text(o.timeouts.connect) + ", deadline " +
                    text(o.timeouts.deadline);
    const auto& rule = o.circuit_breaker.trip.rule();
    const auto* streak = std::get_if<bw::ConsecutiveFailures>(&rule);
    t["circuit_breaker.trip"] = streak ? "`ConsecutiveFailures{" + text(streak->count) + "}`" : "SOMETHING";
    const bw::FailureRate rate;
    t["FailureRate"] = "ratio " + bw::detail::option_text(rate.ratio) + ", window " +
                       (std::holds_alternative<bw::CountWindow>(rate.window) ? "CountWindow" : "TimeWindow") +
                       ", minimum_calls " + text(rate.minimum_calls) + ", bad_ratio " + none(!rate.bad_ratio);
    t["FailureRate.slow_call"] =
        "duration " + none(!rate.slow_call.duration) + ", ratio " + bw::detail::option_text(rate.slow_call.ratio);
    t["CountWindow`, `TimeWindow"] = "size " + text(bw::CountWindow{}.size) + "; duration " +
                                     text(bw::TimeWindow{}.duration) + ", buckets " + text(bw::TimeWindow{}.buckets);
    const auto& breaker = o.circuit_breaker;
    t["circuit_breaker"] = "recovery_timeout " + text(breaker.recovery_timeout) + ", half_open_probes " +
                           text(breaker.half_open_probes) + ", success_threshold " + text(breaker.success_threshold) +
                           ", probe_lease " + text(breaker.probe_lease);
    t["circuit_breaker.deadline_counts_after`, `shadow"] =
        text(breaker.deadline_counts_after) + "; " + (breaker.shadow ? "true" : "false");
    t["circuit_breaker.name`, `classify`, `uncounted_tags`, `seed"] =
        none(breaker.name.empty() && !breaker.classify && breaker.uncounted_tags.empty() && !breaker.seed);
    const auto& growth = o.circuit_breaker.recovery_growth;
    t["circuit_breaker.recovery_growth"] = "multiplier " + bw::detail::option_text(growth.multiplier) + ", cap " +
                                           text(growth.cap) + ", jitter " + bw::detail::option_text(growth.jitter) +
                                           ", heed_retry_after " + (growth.heed_retry_after ? "true" : "false");
    const auto& ramp = o.circuit_breaker.ramped_close;
    t["circuit_breaker.ramped_close"] =
        "duration " + none(!ramp.duration) + ", first_share " + bw::detail::option_text(ramp.first_share);
    const bw::BulkheadOptions bulkhead;
    t["bulkhead`, `BulkheadOptions"] = "max_concurrent " + none(!o.bulkhead.max_concurrent) + ", " +
                                       text(bulkhead.max_concurrent) + "; max_queue " + text(o.bulkhead.max_queue) +
                                       ", max_wait " + text(o.bulkhead.max_wait);
    t["circuits"] = std::string{"per "} + (o.circuits.per.target<bw::ByHost>() ? "by_host" : "SOMETHING") +
                    ", max_circuits " + text(o.circuits.max_circuits);
    const auto& limit = o.rate_limit;
    t["rate_limit"] = "algorithm " + none(limit.algorithm.is_none()) + ", max_wait " + text(limit.max_wait) +
                      ", max_pause " + text(limit.max_pause) + ", heed_server " +
                      (limit.heed_server == bw::HeedServer::when_spent ? "when_spent" : "SOMETHING");
    t["rate_limit.per_endpoint"] = "algorithm " + none(limit.per_endpoint.algorithm.is_none()) + ", key " +
                                   none(!limit.per_endpoint.key) + ", max_endpoints " +
                                   text(limit.per_endpoint.max_endpoints);
    const bw::TokenBucket bucket;
    t["TokenBucket"] =
        "permits " + text(bucket.permits) + ", period " + text(bucket.period) + ", burst " + none(!bucket.burst);
    const auto windowed = [](const auto& windows) {
        return "permits " + text(windows.permits) + ", window " + text(windows.window);
    };
    t["FixedWindow`, `SlidingWindow"] = windowed(bw::FixedWindow{});
    CHECK(windowed(bw::SlidingWindow{}) == windowed(bw::FixedWindow{}));
    t["retry.max_retries`, `retry.max_retry_after"] = text(o.retry.max_retries) + "; " + text(o.retry.max_retry_after);
    const auto& backoff = o.retry.backoff;
    t["retry.backoff"] = "base " + text(backoff.base) + ", multiplier " + bw::detail::option_text(backoff.multiplier) +
                         ", cap " + text(backoff.cap) + ", jitter " +
                         (backoff.jitter == bw::Jitter::full ? "full" : "SOMETHING");
    t["retry.on`, `delay`, `max_elapsed`, `seed"] =
        none(!has_rule(o.retry.on) && !o.retry.delay && !o.retry.max_elapsed && !o.retry.seed);
    CHECK(backoff.growth == bw::Growth::exponential);
    const auto& budget = o.retry_budget;
    CHECK(budget.name.empty());
    t["retry_budget"] = "ratio " + (budget.ratio ? bw::detail::option_text(*budget.ratio) : "none") +
                        ", floor_per_second " + text(budget.floor_per_second) + ", burst " + text(budget.burst);
    const auto& forecast = o.forecast;
    t["forecast"] = "quantile " + none(!forecast.quantile) + ", minimum_samples " + text(forecast.minimum_samples) +
                    ", max_samples " + text(forecast.max_samples) + ", trial_interval " + text(forecast.trial_interval);
    t["cache"] = "ttl " + none(!o.cache.ttl) + ", stale_if_error " + text(o.cache.stale_if_error) + ", lifetime " +
                 (o.cache.lifetime == bw::CacheLifetime::answer_first ? "answer_first" : "SOMETHING");
    t["coalesce"] = std::string{"calls "} + (o.coalesce.calls == bw::CoalesceCalls::cached ? "cached" : "SOMETHING") +
                    ", max_wait " + text(o.coalesce.max_wait);
    t["adaptive_limit`, `throttle"] = none(!o.adaptive_limit && !o.throttle);
    const auto& hedge = o.hedge;
    t["hedge"] = "max_hedges " + text(hedge.max_hedges) + ", after " + none(!hedge.after) + ", quantile " +
                 bw::detail::option_text(hedge.quantile) + ", minimum_samples " + text(hedge.minimum_samples);
    CHECK(hedge.budget == bw::RetryBudgetOptions{.ratio = 0.05, .floor_per_second = 1});
    const auto* on = o.fallback.on.target<bool (*)(const bw::Error&) noexcept>();
    t["fallback"] = "answer " + none(!o.fallback.answer) + ", on " +
                    (on && *on == &bw::fallback_by_default ? "fallback_by_default" : "SOMETHING");
    t["max_response_bytes`, `redirects"] = text(o.max_response_bytes >> 20) + "MiB; max " + text(o.redirects.max) +
                                           ", cross_origin " + (o.redirects.cross_origin ? "true" : "false");
    const bw::CurlOptions curl;
    t["CurlOptions"] = "max_idle " + text(curl.max_idle) + ", max_idle_time " + text(curl.max_idle_time) +
                       ", max_header_bytes " + text(curl.max_header_bytes >> 10) + "KiB";
    const bw::MemoryStoreOptions store;
    t["MemoryStoreOptions"] =
        "max_blob_bytes " + text(store.max_blob_bytes >> 20) + "MiB, idle_ttl " + text(store.idle_ttl);
    const bw::RedisStoreOptions redis;
    t["RedisStoreOptions"] = "command_timeout " + text(redis.command_timeout) + ", flush_interval " +
                             text(redis.flush_interval) + ", ping_interval " + text(redis.ping_interval) + ", lease " +
                             text(redis.lease) + ", min_reporters " + none(!redis.min_reporters) + ", secret " +
                             none(redis.secret.empty());
    // In one row there.
    const auto join = [&t](std::initializer_list<std::pair<const char*, const char*>> rows) {
        std::string name, value;
        for (const auto& [row, shown] : rows) {
            name += (name.empty() ? "" : "`, `") + std::string{shown};
            value += (value.empty() ? "" : "; ") + t.at(row);
            t.erase(row);
        }
        t[name] = value;
    };
    join({{"FailureRate", "FailureRate"},
          {"FailureRate.slow_call", "slow_call"},
          {"CountWindow`, `TimeWindow", "CountWindow`, `TimeWindow"}});
    join({{"circuit_breaker.recovery_growth", "circuit_breaker.recovery_growth"},
          {"circuit_breaker.ramped_close", "ramped_close"}});
    join(
        {{"circuit_breaker.deadline_counts_after`, `shadow", "circuit_breaker.deadline_counts_after`, `shadow"},
         {"circuit_breaker.name`, `classify`, `uncounted_tags`, `seed", "name`, `classify`, `uncounted_tags`, `seed"}});
    join({{"TokenBucket", "TokenBucket"}, {"FixedWindow`, `SlidingWindow", "FixedWindow`, `SlidingWindow"}});
    join({{"cache", "cache"}, {"coalesce", "coalesce"}});
    join({{"CurlOptions", "CurlOptions"}, {"MemoryStoreOptions", "MemoryStoreOptions"}});
    return t;
}

}  // namespace

TEST_CASE("the README lists every option with the default the code has") {
    const Table readme = table_of_readme();
    const Table code = table_of_code();
    for (const auto& [name, value] : code) {
        INFO(name);
        REQUIRE(readme.contains(name));
        CHECK(readme.at(name) == value);
    }
    for (const auto& [name, value] : readme) {
        INFO(name << " is in the README only");
        CHECK(code.contains(name));
    }
}
