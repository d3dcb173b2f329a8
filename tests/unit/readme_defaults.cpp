// README.md lists every option of the client with its default: this compares the table with the code.
#include <breakwater/client/options.hpp>
#include <breakwater/detail/invalid_option.hpp>

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
    t["circuit_breaker.recovery_timeout"] = text(o.circuit_breaker.recovery_timeout);
    t["circuit_breaker.half_open_probes"] = text(o.circuit_breaker.half_open_probes);
    t["circuit_breaker.success_threshold"] = text(o.circuit_breaker.success_threshold);
    t["circuit_breaker.probe_lease"] = text(o.circuit_breaker.probe_lease);
    t["circuit_breaker.deadline_counts_after"] = text(o.circuit_breaker.deadline_counts_after);
    t["circuit_breaker.classify"] = none(!o.circuit_breaker.classify);
    t["rate_limit.algorithm"] = none(o.rate_limit.algorithm.is_none());
    t["rate_limit.max_wait"] = text(o.rate_limit.max_wait);
    t["rate_limit.max_pause"] = text(o.rate_limit.max_pause);
    t["rate_limit.per_endpoint.algorithm"] = none(o.rate_limit.per_endpoint.algorithm.is_none());
    t["rate_limit.per_endpoint.max_endpoints"] = text(o.rate_limit.per_endpoint.max_endpoints);
    t["retry.max_retries"] = text(o.retry.max_retries);
    t["retry.backoff.base"] = text(o.retry.backoff.base);
    t["retry.backoff.multiplier"] = bw::detail::option_text(o.retry.backoff.multiplier);
    t["retry.backoff.cap"] = text(o.retry.backoff.cap);
    t["retry.backoff.jitter"] = o.retry.backoff.jitter == bw::Jitter::full ? "full" : "SOMETHING";
    t["retry.max_retry_after"] = text(o.retry.max_retry_after);
    t["cache.ttl"] = none(!o.cache.ttl);
    t["cache.stale_if_error"] = text(o.cache.stale_if_error);
    t["cache.lifetime"] = o.cache.lifetime == bw::CacheLifetime::answer_first ? "answer_first" : "SOMETHING";
    t["fallback.answer"] = none(!o.fallback.answer);
    t["max_response_bytes"] = text(o.max_response_bytes >> 20) + "MiB";
    t["redirects.max"] = text(o.redirects.max);
    t["redirects.cross_origin"] = o.redirects.cross_origin ? "true" : "false";
    t["observer"] = none(!o.observer);
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
