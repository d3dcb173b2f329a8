#pragma once

#include <breakwater/client/json_reader.hpp>
#include <breakwater/client/options.hpp>
#include <breakwater/result.hpp>

#include <nlohmann/json.hpp>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

namespace breakwater {

namespace detail {

/// A secret by reference: `{"env": "NAME"}` or `{"file": "PATH"}`. A secret written out is refused and not repeated.
inline void read_secret(const JsonReader& reader, std::string& secret) {
    if (!reader.value().is_object()) {
        return reader.mistake(
            "a secret must not stand in the configuration; refer to it as {\"env\": \"NAME\"} or "
            "{\"file\": \"PATH\"}");
    }
    std::optional<std::string> variable;
    std::optional<std::string> file;
    reader.object([&](const auto& member) {
        member("env", variable);
        member("file", file);
    });
    if (variable.has_value() == file.has_value()) return reader.mistake("must have either \"env\" or \"file\"");
    if (variable) {
        const char* value = std::getenv(variable->c_str());
        if (value == nullptr || *value == '\0')
            return reader.mistake("the environment variable " + *variable + " is not set");
        secret = value;
        return;
    }
    std::ifstream in{*file, std::ios::binary};
    secret.assign(std::istreambuf_iterator<char>{in}, {});
    while (secret.ends_with('\n') || secret.ends_with('\r')) secret.pop_back();
    if (secret.empty()) reader.mistake("the file " + *file + " cannot be read or is empty");
}

inline void read_auth(const JsonReader& reader, Auth& auth) {
    if (reader.value().size() > 1) return reader.mistake("must have one of \"bearer\", \"basic\" and \"header\"");
    reader.object([&](const auto& member) {
        member("bearer", [&](const JsonReader& own) { read_secret(own, auth.emplace<Bearer>().token); });
        member("basic", [&](const JsonReader& own) {
            auto& basic = auth.emplace<Basic>();
            own.object([&](const auto& part) {
                part("user", [&](const JsonReader& user) {
                    if (user.value().is_string())
                        user.read(basic.user);
                    else
                        read_secret(user, basic.user);
                });
                part("password", [&](const JsonReader& password) { read_secret(password, basic.password); });
            });
        });
        member("header", [&](const JsonReader& own) {
            auto& header = auth.emplace<HeaderAuth>();
            own.object([&](const auto& part) {
                part("name", header.name);
                part("value", [&](const JsonReader& value) { read_secret(value, header.value); });
            });
            if (header.name.empty()) own.mistake("must have a \"name\"");
        });
    });
}

inline void read_window(const JsonReader& reader, std::variant<CountWindow, TimeWindow>& window) {
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

inline void read_trip(const JsonReader& reader, AnyTrip& trip) {
    if (reader.value() == "never") {
        trip = never;
        return;
    }
    if (!reader.value().is_object() || reader.value().size() != 1) {
        return reader.mistake("must be \"never\", {\"consecutive_failures\": …} or {\"failure_rate\": …}");
    }
    reader.object([&](const auto& member) {
        member("consecutive_failures", [&](const JsonReader& own) {
            ConsecutiveFailures rule;
            if (own.value().is_object())
                own.object([&](const auto& part) { part("count", rule.count); });
            else
                own.read(rule.count);
            trip = rule;
        });
        member("failure_rate", [&](const JsonReader& own) {
            FailureRate rule;
            own.object([&](const auto& part) {
                part("ratio", rule.ratio);
                part("window", [&](const JsonReader& window) { read_window(window, rule.window); });
                part("minimum_calls", rule.minimum_calls);
            });
            trip = rule;
        });
    });
}

inline void read_algorithm(const JsonReader& reader, AnyAlgorithm& algorithm) {
    if (reader.value() == "none") {
        algorithm = no_limit;
        return;
    }
    if (!reader.value().is_object() || reader.value().size() != 1) {
        return reader.mistake("must be \"none\", {\"token_bucket\": {…}} or {\"fixed_window\": {…}}");
    }
    reader.object([&](const auto& member) {
        member("token_bucket", [&](const JsonReader& own) {
            TokenBucket bucket;
            own.object([&](const auto& part) {
                part("permits", bucket.permits);
                part("period", bucket.period);
                part("burst", bucket.burst);
            });
            algorithm = bucket;
        });
        member("fixed_window", [&](const JsonReader& own) {
            FixedWindow limit;
            own.object([&](const auto& part) {
                part("permits", limit.permits);
                part("window", limit.window);
            });
            algorithm = limit;
        });
    });
}

inline void read_headers(const JsonReader& reader, Headers& headers) {
    if (!reader.value().is_object()) return reader.wrong_type("an object");
    for (const auto& [name, value] : reader.value().items()) {
        if (value.is_string())
            headers.add(name, value.get<std::string>());
        else
            reader.mistake("the value of " + name + " must be a string");
    }
}

}  // namespace detail

/// Options from a configuration: the keys are the options' names, durations are texts such as "250ms" and "2min", and
/// secrets are references: `"auth": {"bearer": {"env": "SUPPLIER_API_KEY"}}`.
///
/// Every mistake is named by its path: unknown keys with the nearest valid one, wrong types, values out of
/// range. Observers, fallbacks and rules are code and not read here. Reads environment variables and files.
inline Result<ClientOptions> client_options_from_json(const nlohmann::json& json) {
    using detail::JsonReader;
    ClientOptions options;
    std::vector<std::string> mistakes;
    const JsonReader root{json, "", mistakes};
    root.object([&](const auto& member) {
        member("name", options.name);
        member("base_url", options.base_url);
        member("headers", [&](const JsonReader& own) { detail::read_headers(own, options.headers); });
        member("auth", [&](const JsonReader& own) { detail::read_auth(own, options.auth); });
        member("timeouts", [&](const JsonReader& own) {
            own.object([&](const auto& part) {
                part("attempt", options.timeouts.attempt);
                part("connect", options.timeouts.connect);
                part("deadline", options.timeouts.deadline);
            });
        });
        member("circuit_breaker", [&](const JsonReader& own) {
            auto& breaker = options.circuit_breaker;
            own.object([&](const auto& part) {
                part("name", breaker.name);
                part("trip", [&](const JsonReader& trip) { detail::read_trip(trip, breaker.trip); });
                part("recovery_timeout", breaker.recovery_timeout);
                part("half_open_probes", breaker.half_open_probes);
                part("success_threshold", breaker.success_threshold);
                part("probe_lease", breaker.probe_lease);
                part("deadline_counts_after", breaker.deadline_counts_after);
            });
        });
        member("rate_limit", [&](const JsonReader& own) {
            auto& limit = options.rate_limit;
            own.object([&](const auto& part) {
                part("algorithm", [&](const JsonReader& a) { detail::read_algorithm(a, limit.algorithm); });
                part("max_wait", limit.max_wait);
                part("max_pause", limit.max_pause);
                part("per_endpoint", [&](const JsonReader& endpoint) {
                    endpoint.object([&](const auto& inner) {
                        inner("algorithm",
                              [&](const JsonReader& a) { detail::read_algorithm(a, limit.per_endpoint.algorithm); });
                        inner("max_endpoints", limit.per_endpoint.max_endpoints);
                    });
                });
            });
        });
        member("retry", [&](const JsonReader& own) {
            auto& retry = options.retry;
            own.object([&](const auto& part) {
                part("max_retries", retry.max_retries);
                part("max_retry_after", retry.max_retry_after);
                part("seed", retry.seed);
                part("backoff", [&](const JsonReader& backoff) {
                    backoff.object([&](const auto& inner) {
                        inner("base", retry.backoff.base);
                        inner("multiplier", retry.backoff.multiplier);
                        inner("cap", retry.backoff.cap);
                        inner("jitter", [&](const JsonReader& jitter) {
                            jitter.read_word(retry.backoff.jitter, {{"none", Jitter::none},
                                                                    {"full", Jitter::full},
                                                                    {"equal", Jitter::equal},
                                                                    {"decorrelated", Jitter::decorrelated}});
                        });
                    });
                });
            });
        });
        member("cache", [&](const JsonReader& own) {
            own.object([&](const auto& part) {
                part("ttl", options.cache.ttl);
                part("stale_if_error", options.cache.stale_if_error);
                part("lifetime", [&](const JsonReader& lifetime) {
                    lifetime.read_word(options.cache.lifetime, {{"answer_first", CacheLifetime::answer_first},
                                                                {"ttl_always", CacheLifetime::ttl_always}});
                });
            });
        });
        member("max_response_bytes", options.max_response_bytes);
        member("redirects", [&](const JsonReader& own) {
            own.object([&](const auto& part) {
                part("max", options.redirects.max);
                part("cross_origin", options.redirects.cross_origin);
            });
        });
    });
    if (mistakes.empty()) {
        if (auto ok = validate(options); !ok) mistakes.emplace_back(ok.error().detail());
    }
    if (mistakes.empty()) return options;
    std::string text;
    for (const std::string& mistake : mistakes) text.append(text.empty() ? "" : "; ").append(mistake);
    return fail(Errc::invalid_options, std::move(text));
}

}  // namespace breakwater
