// README.md lists every option of the client with its default: this compares the table with the code.
#include <breakwater/bulkhead/options.hpp>
#include <breakwater/client/options.hpp>
#include <breakwater/detail/invalid_option.hpp>
#include <breakwater/store/memory.hpp>
#include <breakwater/transport/curl/options.hpp>

#include <catch_shim.hpp>

#include <fstream>
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
    t["name"] = none(o.name.empty());
    t["base_url"] = none(o.base_url.empty());
    t["headers"] = none(o.headers.empty());
    t["auth"] = none(o.auth.index() == 0);
    t["timeouts.attempt"] = text(o.timeouts.attempt);
    t["timeouts.connect"] = text(o.timeouts.connect);
    t["timeouts.deadline"] = text(o.timeouts.deadline);
    const auto& rule = o.circuit_breaker.trip.rule();
    const auto* streak = std::get_if<bw::ConsecutiveFailures>(&rule);
    t["circuit_breaker.trip"] = streak ? "`ConsecutiveFailures{" + text(streak->count) + "}`" : "SOMETHING";
    t["circuit_breaker.name"] = none(o.circuit_breaker.name.empty());
    const bw::FailureRate rate;
    t["FailureRate"] = "ratio " + bw::detail::option_text(rate.ratio) + ", window " +
                       (std::holds_alternative<bw::CountWindow>(rate.window) ? "CountWindow" : "TimeWindow") +
                       ", minimum_calls " + text(rate.minimum_calls) + ", bad_ratio " + none(!rate.bad_ratio);
    t["FailureRate.slow_call"] =
        "duration " + none(!rate.slow_call.duration) + ", ratio " + bw::detail::option_text(rate.slow_call.ratio);
    t["CountWindow`, `TimeWindow"] = "size " + text(bw::CountWindow{}.size) + "; duration " +
                                     text(bw::TimeWindow{}.duration) + ", buckets " + text(bw::TimeWindow{}.buckets);
    t["circuit_breaker.recovery_timeout"] = text(o.circuit_breaker.recovery_timeout);
    t["circuit_breaker.half_open_probes"] = text(o.circuit_breaker.half_open_probes);
    t["circuit_breaker.success_threshold"] = text(o.circuit_breaker.success_threshold);
    t["circuit_breaker.probe_lease"] = text(o.circuit_breaker.probe_lease);
    t["circuit_breaker.deadline_counts_after"] = text(o.circuit_breaker.deadline_counts_after);
    t["circuit_breaker.classify"] = none(!o.circuit_breaker.classify);
    const auto& growth = o.circuit_breaker.recovery_growth;
    t["circuit_breaker.recovery_growth"] = "multiplier " + bw::detail::option_text(growth.multiplier) + ", cap " +
                                           text(growth.cap) + ", jitter " + bw::detail::option_text(growth.jitter) +
                                           ", heed_retry_after " + (growth.heed_retry_after ? "true" : "false");
    const auto& ramp = o.circuit_breaker.ramped_close;
    t["circuit_breaker.ramped_close"] =
        "duration " + none(!ramp.duration) + ", first_share " + bw::detail::option_text(ramp.first_share);
    t["circuit_breaker.uncounted_tags"] = none(o.circuit_breaker.uncounted_tags.empty());
    t["circuit_breaker.shadow"] = o.circuit_breaker.shadow ? "true" : "false";
    t["circuit_breaker.seed"] = none(!o.circuit_breaker.seed);
    const bw::BulkheadOptions bulkhead;
    t["bulkhead`, `BulkheadOptions"] = "max_concurrent " + none(!o.bulkhead.max_concurrent) + ", " +
                                       text(bulkhead.max_concurrent) + "; max_queue " + text(o.bulkhead.max_queue) +
                                       ", max_wait " + text(o.bulkhead.max_wait);
    t["circuits"] = std::string{"per "} + (o.circuits.per.target<bw::ByHost>() ? "by_host" : "SOMETHING") +
                    ", max_circuits " + text(o.circuits.max_circuits);
    t["rate_limit.algorithm"] = none(o.rate_limit.algorithm.is_none());
    const bw::TokenBucket bucket;
    t["TokenBucket"] =
        "permits " + text(bucket.permits) + ", period " + text(bucket.period) + ", burst " + none(!bucket.burst);
    const auto windowed = [](const auto& limit) {
        return "permits " + text(limit.permits) + ", window " + text(limit.window);
    };
    t["FixedWindow`, `SlidingWindow"] = windowed(bw::FixedWindow{});
    CHECK(windowed(bw::SlidingWindow{}) == windowed(bw::FixedWindow{}));
    t["rate_limit.max_wait"] = text(o.rate_limit.max_wait);
    t["rate_limit.max_pause"] = text(o.rate_limit.max_pause);
    t["rate_limit.heed_server"] = o.rate_limit.heed_server == bw::HeedServer::when_spent ? "when_spent" : "SOMETHING";
    t["rate_limit.per_endpoint.algorithm"] = none(o.rate_limit.per_endpoint.algorithm.is_none());
    t["rate_limit.per_endpoint.key"] = none(!o.rate_limit.per_endpoint.key);
    t["rate_limit.per_endpoint.max_endpoints"] = text(o.rate_limit.per_endpoint.max_endpoints);
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
    t["cache.ttl"] = none(!o.cache.ttl);
    t["cache.stale_if_error"] = text(o.cache.stale_if_error);
    t["cache.lifetime"] = o.cache.lifetime == bw::CacheLifetime::answer_first ? "answer_first" : "SOMETHING";
    t["fallback.answer"] = none(!o.fallback.answer);
    const auto* on = o.fallback.on.target<bool (*)(const bw::Error&) noexcept>();
    t["fallback.on"] = on && *on == &bw::fallback_by_default ? "fallback_by_default" : "SOMETHING";
    t["max_response_bytes"] = text(o.max_response_bytes >> 20) + "MiB";
    t["redirects"] = "max " + text(o.redirects.max) + ", cross_origin " + (o.redirects.cross_origin ? "true" : "false");
    t["observer"] = none(!o.observer);
    const bw::CurlOptions curl;
    t["CurlOptions"] = "max_idle " + text(curl.max_idle) + ", max_idle_time " + text(curl.max_idle_time) +
                       ", max_header_bytes " + text(curl.max_header_bytes >> 10) + "KiB";
    const bw::MemoryStoreOptions store;
    t["MemoryStoreOptions"] =
        "max_blob_bytes " + text(store.max_blob_bytes >> 20) + "MiB, idle_ttl " + text(store.idle_ttl);
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
