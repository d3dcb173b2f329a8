#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/error.hpp>
#include <breakwater/http/body.hpp>
#include <breakwater/http/file_body.hpp>
#include <breakwater/http/form.hpp>
#include <breakwater/http/headers.hpp>
#include <breakwater/http/multipart.hpp>
#include <breakwater/http/query.hpp>
#include <breakwater/http/response.hpp>
#include <breakwater/http/sink.hpp>
#include <breakwater/http/target.hpp>
#include <breakwater/http/trace_context.hpp>
#include <breakwater/result.hpp>

#include <nlohmann/json.hpp>

#include <cstdint>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <variant>

namespace breakwater {

/// Answers in place of a failed call.
using ResponseFallback = std::function<Result<Response>(const Error&)>;

/// One idempotency key for all attempts of a call, made by the client (a UUID, version 4).
struct AutoKey {};
inline constexpr AutoKey auto_key{};

/// The value of the Idempotency-Key header; makes any method safe to retry.
class IdempotencyKey {
public:
    IdempotencyKey() = default;
    IdempotencyKey(AutoKey) : key_{AutoKey{}} {}
    IdempotencyKey(std::string key) : key_{std::move(key)} {}
    IdempotencyKey(const char* key) : key_{std::string{key}} {}

    bool is_auto() const noexcept { return std::holds_alternative<AutoKey>(key_); }
    const std::string* given() const noexcept { return std::get_if<std::string>(&key_); }

private:
    std::variant<std::monostate, AutoKey, std::string> key_;
};

/// What one call may be told. Everything is optional.
struct RequestOptions {
    Query query{};
    PathParameters path{};                                     ///< For the `{name}` places of the target.
    Headers headers{};                                         ///< Replace the client's of the same name.
    nlohmann::json json = nlohmann::json::value_t::discarded;  ///< The body, as application/json.
    // At most one of json, form, multipart and body.
    Form form{};                          ///< The body, as application/x-www-form-urlencoded.
    Multipart multipart{};                ///< The body, as multipart/form-data.
    std::optional<Body> body{};           ///< Bytes, `from_file(path)`, `replayable_body(…)` or `one_shot_body(…)`.
    std::optional<Duration> timeout{};    ///< Of each attempt; replaces the client's.
    std::optional<Duration> deadline{};   ///< Of the call; replaces the client's.
    std::optional<Duration> cache_ttl{};  ///< Replaces the client's; 0 s keeps this call away from the cache.
    IdempotencyKey idempotency_key{};
    ResponseFallback fallback{};  ///< Replaces the client's.
    std::stop_token stop{};
    Sink save_to{};  ///< Where a 2xx answer's body goes, such as `to_file(path)`. Such a call knows no cache.
    std::optional<std::uint64_t> max_saved_bytes{};  ///< The most that is saved. Default: no limit.
    OnProgress progress{};                           ///< Told how far each attempt is; see there.
    std::string correlation_id{};                    ///< What the call's events carry, to be found again by; no secret.
    /// The trace that the call is part of. Each request of it, also of a hedge or a redirect within the origin, is sent
    /// as a child span of its own, which the attempt's events name.
    std::optional<TraceContext> trace{};
    std::string tag{};  ///< What kind of call it is, for rules about some kinds: `circuit_breaker.uncounted_tags`.
    /// Sends nothing of the client: no credential and of its headers only Accept and User-Agent; the target may then be
    /// an absolute URL of any origin. The client's circuit and limits count the call as any other.
    bool anonymous = false;
};

}  // namespace breakwater
