#pragma once

#include <breakwater/client/auth.hpp>
#include <breakwater/client/json_reader.hpp>
#include <breakwater/client/options.hpp>
#include <breakwater/client/secret.hpp>
#include <breakwater/detail/search.hpp>
#include <breakwater/http/detail/characters.hpp>
#include <breakwater/result.hpp>

#include <nlohmann/json.hpp>

#include <cstddef>
#include <initializer_list>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace breakwater {

namespace detail {

template <class Json>
void read_auth(const JsonReader<Json>& reader, Auth& auth) {
    if (reader.value().is_object() && reader.value().size() != 1)
        return reader.mistake("must have one of \"bearer\", \"basic\" and \"header\"");
    reader.object([&](const auto& member) {
        member("bearer", [&](const JsonReader<Json>& own) { read_secret(own, auth.emplace<Bearer>().token); });
        member("basic", [&](const JsonReader<Json>& own) {
            auto& basic = auth.emplace<Basic>();
            own.require({"user", "password"});
            own.object([&](const auto& part) {
                part("user", [&](const JsonReader<Json>& user) {
                    if (user.value().is_string())
                        user.read(basic.user);
                    else
                        read_secret(user, basic.user);
                });
                part("password", [&](const JsonReader<Json>& password) { read_secret(password, basic.password); });
            });
        });
        member("header", [&](const JsonReader<Json>& own) {
            auto& header = auth.emplace<HeaderAuth>();
            own.require({"name", "value"});
            own.object([&](const auto& part) {
                part("name", header.name);
                part("value", [&](const JsonReader<Json>& value) { read_secret(value, header.value); });
            });
        });
    });
}

template <class Json>
void read_window(const JsonReader<Json>& reader, std::variant<CountWindow, TimeWindow>& window) {
    const auto& value = reader.value();
    if (value.is_object() && value.contains("count") == value.contains("duration")) {
        return reader.mistake("must have either \"count\" or \"duration\"");
    }
    reader.object([&](const auto& member) {
        if (value.contains("count")) {
            member("count", window.emplace<CountWindow>().size);
        } else {
            auto& time = window.emplace<TimeWindow>();
            member("duration", time.duration);
            member("buckets", time.buckets);
        }
    });
}

template <class Json>
void read_trip(const JsonReader<Json>& reader, AnyTrip& trip) {
    if (reader.value() == "never") {
        trip = never;
        return;
    }
    if (!reader.value().is_object() || reader.value().size() != 1) {
        return reader.mistake("must be \"never\", {\"consecutive_failures\": …} or {\"failure_rate\": …}");
    }
    reader.object([&](const auto& member) {
        member("consecutive_failures", [&](const JsonReader<Json>& own) {
            ConsecutiveFailures rule;
            if (own.value().is_object()) {
                if (own.object([&](const auto& part) { part("count", rule.count); })) own.check(rule);
            } else if (own.read(rule.count)) {
                own.check(rule);
            }
            trip = rule;
        });
        member("failure_rate", [&](const JsonReader<Json>& own) {
            FailureRate rule;
            const bool read = own.object([&](const auto& part) {
                part("ratio", rule.ratio);
                part("window", [&](const JsonReader<Json>& window) { read_window(window, rule.window); });
                part("minimum_calls", rule.minimum_calls);
                part("slow_call", [&](const JsonReader<Json>& slow) {
                    slow.object([&](const auto& inner) {
                        inner("duration", rule.slow_call.duration);
                        inner("ratio", rule.slow_call.ratio);
                    });
                });
                part("bad_ratio", rule.bad_ratio);
            });
            if (read) own.check(rule);
            trip = rule;
        });
    });
}

template <class Json>
void read_algorithm(const JsonReader<Json>& reader, AnyAlgorithm& algorithm) {
    if (reader.value() == "none") {
        algorithm = no_limit;
        return;
    }
    if (!reader.value().is_object() || reader.value().size() != 1) {
        return reader.mistake(
            "must be \"none\", {\"token_bucket\": {…}}, {\"fixed_window\": {…}} or {\"sliding_window\": {…}}");
    }
    reader.object([&](const auto& member) {
        member("token_bucket", [&](const JsonReader<Json>& own) {
            TokenBucket bucket;
            const bool read = own.object([&](const auto& part) {
                part("permits", bucket.permits);
                part("period", bucket.period);
                part("burst", bucket.burst);
            });
            if (read) own.check(bucket);
            algorithm = bucket;
        });
        const auto read_windowed = [&](const JsonReader<Json>& own, auto limit) {
            const bool read = own.object([&](const auto& part) {
                part("permits", limit.permits);
                part("window", limit.window);
            });
            if (read) own.check(limit);
            algorithm = limit;
        };
        member("fixed_window", [&](const JsonReader<Json>& own) { read_windowed(own, FixedWindow{}); });
        member("sliding_window", [&](const JsonReader<Json>& own) { read_windowed(own, SlidingWindow{}); });
    });
}

/// Headers whose values are secrets have to be references.
template <class Json>
void read_headers(const JsonReader<Json>& reader, Headers& headers) {
    if (!reader.value().is_object()) return reader.wrong_type("an object");
    for (const auto& [name, value] : reader.value().items()) {
        const JsonReader<Json> own = reader.member(name, value);
        std::string text;
        const bool is_secret =
            detail::any_of(std::initializer_list<std::string_view>{"Authorization", "Proxy-Authorization", "Cookie"},
                           [&](std::string_view secret) { return equals_ignoring_case(name, secret); });
        if (value.is_object() || is_secret)
            read_secret(own, text);
        else
            own.read(text);
        headers.add(name, std::move(text));
    }
}

template <class Json>
void read_budget(const JsonReader<Json>& reader, RetryBudgetOptions& budget) {
    reader.object([&](const auto& part) {
        part("name", budget.name);
        part("ratio", [&](const JsonReader<Json>& ratio) {
            if (ratio.value().is_null())
                budget.ratio.reset();
            else
                ratio.read(budget.ratio);
        });
        part("floor_per_second", budget.floor_per_second);
        part("burst", budget.burst);
    });
}

}  // namespace detail

/// Options from a configuration: the keys are the options' names, durations are texts such as "250ms" and "2min", and
/// secrets are references: `"auth": {"bearer": {"env": "SUPPLIER_API_KEY"}}`.
///
/// Every mistake is named by its path, separated by "; " if there are several: unknown keys with the nearest valid one,
/// wrong types, values out of range. Observers, fallbacks and rules are code and not read here; a `ratio` of null
/// switches the retry budget off. The section "transport" is left to `curl_options_from_json`, or to a transport of
/// one's own. Reads environment variables and files.
template <class Json = nlohmann::json>
Result<ClientOptions> client_options_from_json(const std::type_identity_t<Json>& json) {
    using detail::JsonReader;
    ClientOptions options;
    std::vector<std::string> mistakes;
    const JsonReader<Json> root{json, "", mistakes};
    root.object([&](const auto& member) {
        member("name", options.name);
        member("base_url", options.base_url);
        member("headers", [&](const JsonReader<Json>& own) { detail::read_headers(own, options.headers); });
        member("auth", [&](const JsonReader<Json>& own) { detail::read_auth(own, options.auth); });
        member("begin_trace", [&](const JsonReader<Json>& own) {
            own.read_word(options.begin_trace.emplace(), {{"sampled", Sampled::yes}, {"unsampled", Sampled::no}});
        });
        member("timeouts", [&](const JsonReader<Json>& own) {
            own.object([&](const auto& part) {
                part("attempt", options.timeouts.attempt);
                part("connect", options.timeouts.connect);
                part("deadline", options.timeouts.deadline);
            });
        });
        member("circuit_breaker", [&](const JsonReader<Json>& own) {
            auto& breaker = options.circuit_breaker;
            own.object([&](const auto& part) {
                part("name", breaker.name);
                part("trip", [&](const JsonReader<Json>& trip) { detail::read_trip(trip, breaker.trip); });
                part("recovery_timeout", breaker.recovery_timeout);
                part("half_open_probes", breaker.half_open_probes);
                part("success_threshold", breaker.success_threshold);
                part("probe_lease", breaker.probe_lease);
                part("deadline_counts_after", breaker.deadline_counts_after);
                part("recovery_growth", [&](const JsonReader<Json>& growth) {
                    growth.object([&](const auto& inner) {
                        inner("multiplier", breaker.recovery_growth.multiplier);
                        inner("cap", breaker.recovery_growth.cap);
                        inner("jitter", breaker.recovery_growth.jitter);
                        inner("heed_retry_after", breaker.recovery_growth.heed_retry_after);
                    });
                });
                part("ramped_close", [&](const JsonReader<Json>& ramp) {
                    ramp.object([&](const auto& inner) {
                        inner("duration", breaker.ramped_close.duration);
                        inner("first_share", breaker.ramped_close.first_share);
                    });
                });
                part("uncounted_tags", [&](const JsonReader<Json>& tags) {
                    std::vector<std::string> read;
                    tags.read(read);
                    breaker.uncounted_tags = Tags{std::move(read)};
                });
                part("shadow", breaker.shadow);
                part("seed", breaker.seed);
            });
        });
        member("bulkhead", [&](const JsonReader<Json>& own) {
            own.object([&](const auto& part) {
                part("max_concurrent", options.bulkhead.max_concurrent);
                part("max_queue", options.bulkhead.max_queue);
                part("max_wait", options.bulkhead.max_wait);
            });
        });
        member("adaptive_limit", [&](const JsonReader<Json>& own) {
            auto& limit = options.adaptive_limit.emplace();
            own.object([&](const auto& part) {
                part("algorithm", [&](const JsonReader<Json>& algorithm) {
                    algorithm.read_word(limit.algorithm,
                                        {{"gradient2", Gradient2{}}, {"vegas", Vegas{}}, {"aimd", Aimd{}}});
                });
                part("initial_limit", limit.initial_limit);
                part("min_limit", limit.min_limit);
                part("max_limit", limit.max_limit);
                part("window", limit.window);
                part("minimum_samples", limit.minimum_samples);
                part("drop_ratio", limit.drop_ratio);
                part("slow_after", limit.slow_after);
                part("max_queue", limit.max_queue);
                part("max_wait", limit.max_wait);
            });
        });
        member("throttle", [&](const JsonReader<Json>& own) {
            auto& throttle = options.throttle.emplace();
            own.object([&](const auto& part) {
                part("accepts_multiplier", throttle.accepts_multiplier);
                part("max_probability", throttle.max_probability);
                part("window", [&](const JsonReader<Json>& window) {
                    window.object([&](const auto& inner) {
                        inner("duration", throttle.window.duration);
                        inner("buckets", throttle.window.buckets);
                    });
                });
                part("minimum_requests", throttle.minimum_requests);
            });
        });
        member("circuits", [&](const JsonReader<Json>& own) {
            own.object([&](const auto& part) {
                part("per", [&](const JsonReader<Json>& per) {
                    per.template read_word<RequestKey>(
                        options.circuits.per,
                        {{"host", by_host()}, {"endpoint", by_endpoint()}, {"client", by_client()}});
                });
                part("max_circuits", options.circuits.max_circuits);
            });
        });
        member("rate_limit", [&](const JsonReader<Json>& own) {
            auto& limit = options.rate_limit;
            own.object([&](const auto& part) {
                part("algorithm", [&](const JsonReader<Json>& a) { detail::read_algorithm(a, limit.algorithm); });
                part("max_wait", limit.max_wait);
                part("max_pause", limit.max_pause);
                part("heed_server", [&](const JsonReader<Json>& heed) {
                    heed.read_word(limit.heed_server, {{"off", HeedServer::off},
                                                       {"when_spent", HeedServer::when_spent},
                                                       {"spend_down", HeedServer::spend_down}});
                });
                part("per_endpoint", [&](const JsonReader<Json>& endpoint) {
                    endpoint.object([&](const auto& inner) {
                        inner("algorithm", [&](const JsonReader<Json>& a) {
                            detail::read_algorithm(a, limit.per_endpoint.algorithm);
                        });
                        inner("max_endpoints", limit.per_endpoint.max_endpoints);
                    });
                });
            });
        });
        member("retry", [&](const JsonReader<Json>& own) {
            auto& retry = options.retry;
            own.object([&](const auto& part) {
                part("max_retries", retry.max_retries);
                part("max_retry_after", retry.max_retry_after);
                part("max_elapsed", retry.max_elapsed);
                part("seed", retry.seed);
                part("backoff", [&](const JsonReader<Json>& backoff) {
                    backoff.object([&](const auto& inner) {
                        inner("base", retry.backoff.base);
                        inner("multiplier", retry.backoff.multiplier);
                        inner("cap", retry.backoff.cap);
                        inner("jitter", [&](const JsonReader<Json>& jitter) {
                            jitter.read_word(retry.backoff.jitter, {{"none", Jitter::none},
                                                                    {"full", Jitter::full},
                                                                    {"equal", Jitter::equal},
                                                                    {"decorrelated", Jitter::decorrelated},
                                                                    {"around", Jitter::around}});
                        });
                        inner("growth", [&](const JsonReader<Json>& growth) {
                            growth.read_word(retry.backoff.growth,
                                             {{"exponential", Growth::exponential}, {"linear", Growth::linear}});
                        });
                        inner("spread", retry.backoff.spread);
                    });
                });
            });
        });
        member("retry_budget", [&](const JsonReader<Json>& own) { detail::read_budget(own, options.retry_budget); });
        member("forecast", [&](const JsonReader<Json>& own) {
            own.object([&](const auto& part) {
                part("quantile", options.forecast.quantile);
                part("minimum_samples", options.forecast.minimum_samples);
                part("max_samples", options.forecast.max_samples);
                part("trial_interval", options.forecast.trial_interval);
            });
        });
        member("cache", [&](const JsonReader<Json>& own) {
            own.object([&](const auto& part) {
                part("ttl", options.cache.ttl);
                part("stale_if_error", options.cache.stale_if_error);
                part("lifetime", [&](const JsonReader<Json>& lifetime) {
                    lifetime.read_word(options.cache.lifetime, {{"answer_first", CacheLifetime::answer_first},
                                                                {"ttl_always", CacheLifetime::ttl_always}});
                });
            });
        });
        member("coalesce", [&](const JsonReader<Json>& own) {
            own.object([&](const auto& part) {
                part("calls", [&](const JsonReader<Json>& calls) {
                    calls.read_word(options.coalesce.calls, {{"none", CoalesceCalls::none},
                                                             {"cached", CoalesceCalls::cached},
                                                             {"all_gets", CoalesceCalls::all_gets}});
                });
                part("max_wait", options.coalesce.max_wait);
            });
        });
        member("hedge", [&](const JsonReader<Json>& own) {
            own.object([&](const auto& part) {
                part("max_hedges", options.hedge.max_hedges);
                part("after", options.hedge.after);
                part("quantile", options.hedge.quantile);
                part("minimum_samples", options.hedge.minimum_samples);
                part("budget",
                     [&](const JsonReader<Json>& budget) { detail::read_budget(budget, options.hedge.budget); });
            });
        });
        member("max_response_bytes", [&](const JsonReader<Json>& own) { own.read_size(options.max_response_bytes); });
        member("redirects", [&](const JsonReader<Json>& own) {
            own.object([&](const auto& part) {
                part("max", options.redirects.max);
                part("cross_origin", options.redirects.cross_origin);
            });
        });
        member("redact", [&](const JsonReader<Json>& own) {
            own.object([&](const auto& part) {
                part("query", options.redact.query);
                part("headers", options.redact.headers);
            });
        });
        member("transport", [](const JsonReader<Json>&) {});
    });
    if (mistakes.empty()) {
        if (auto ok = validate(options); !ok) mistakes.emplace_back(ok.error().detail());
    }
    if (mistakes.empty()) return options;
    return detail::mistaken(mistakes);
}

}  // namespace breakwater
