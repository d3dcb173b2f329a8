#pragma once

#include <breakwater/cache/vary_hints.hpp>
#include <breakwater/clock.hpp>
#include <breakwater/http/cache_control.hpp>
#include <breakwater/http/request.hpp>
#include <breakwater/http/response.hpp>
#include <breakwater/store/store.hpp>
#include <breakwater/task.hpp>
#include <breakwater/task/now_or_later.hpp>
#include <breakwater/task/start.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace breakwater {

/// An answer as it is kept, with its times by the store's clock.
struct CachedResponse {
    Response response;
    Instant fresh_until{};
    Instant stale_until{};  ///< How long it may stand in for an error; not before `fresh_until`.
};

/// A private HTTP cache (RFC 9111) in the blobs of a store.
///
/// Keyed by name, method, URL, the caller's credentials and the headers the answer varies on. Thread-safe. A value that
/// cannot be read is a miss. The keys hold credentials: a store that leaves the process must not show them.
template <Store StoreType>
class ResponseCache {
public:
    /// `credentials` names the headers that tell callers apart, beside Authorization and Cookie.
    ResponseCache(StoreType store, std::string name, std::vector<std::string> credentials = {})
        : store_{std::move(store)}, name_{std::move(name)}, credentials_{std::move(credentials)} {
        credentials_.insert(credentials_.end(), {"Authorization", "Cookie"});
    }

    /// What is kept for the request, fresh or not. One look into the store. Where answers for the URL vary it takes a
    /// second one, which an `AsyncStore` is asked for at the same time once that is known.
    std::optional<CachedResponse> find(const Request& request) const { return run_here(async_find(request)); }
    /// The same as a task, which waits where the store is an `AsyncStore`. The request lives until then.
    Task<std::optional<CachedResponse>> async_find(const Request& request) const {
        const std::string key = key_of(request, request.method);
        const std::vector<std::string> hint = AsyncStore<StoreType> ? hints_->find(key) : std::vector<std::string>{};
        auto looking = look(key);
        std::optional hinted = hint.empty() ? std::nullopt : std::optional{look(variant_of(key, hint, request))};
        auto kept = decode(co_await looking);
        if (kept && !kept->vary.empty()) {
            const bool is_looked_for = hinted && kept->vary == hint;
            if (AsyncStore<StoreType> && !is_looked_for) hints_->learn(key, kept->vary);
            auto variant = is_looked_for ? *std::move(hinted) : look(variant_of(key, kept->vary, request));
            kept = decode(co_await variant);
        }
        if (!kept) co_return std::nullopt;
        if (kept->answer.response.url.empty()) kept->answer.response.url = request.url;
        co_return std::move(kept->answer);
    }

    /// Keeps an answer until `stale_until`, if it may be kept; returns how many others the store says to have dropped
    /// for it, or nothing if it is not kept. In a store that others can read it is kept without its URL, which may hold
    /// a secret; so there only an answer of the URL itself is, not one redirected to.
    std::optional<std::size_t> put(const Request& request, const CachedResponse& answer) const {
        if (!is_storable(request.method, answer.response)) return {};
        if (StoreType::is_deferred && answer.response.url != request.url) return {};
        const Duration ttl = std::max(answer.stale_until, answer.fresh_until) - store_.clock().now();
        if (ttl <= Duration{0}) return {};
        const std::string key = key_of(request, request.method);
        const std::vector<std::string> vary = vary_names(answer.response.headers);
        if (vary.empty()) return put(key, {answer, {}}, ttl);
        return put(variant_of(key, vary, request), {answer, {}}, ttl) + put(key, {{}, vary}, ttl);
    }

    /// Forgets what is kept for the URL of a request that may have changed it.
    void invalidate(const Request& request) const {
        for (const Method& method : {Method::get, Method::head}) store_.erase(key_of(request, method));
    }

private:
    static void append(std::string& key, std::string_view part) {
        key.append(std::to_string(part.size())).append(":").append(part);
    }

    std::string key_of(const Request& request, const Method& method) const {
        std::string key = "cache:";
        append(key, name_);
        append(key, method.name());
        append(key, request.url);
        append(key, vary_key(credentials_, request.headers));
        return key;
    }
    static std::string variant_of(const std::string& key, const std::vector<std::string>& vary,
                                  const Request& request) {
        std::string variant = key + "|";
        append(variant, vary_key(vary, request.headers));
        return variant;
    }

    /// An answer, or the names of the headers that tell which of several it is.
    struct Kept {
        CachedResponse answer{};
        std::vector<std::string> vary{};
    };
    std::size_t put(const std::string& key, const Kept& kept, Duration ttl) const {
        if constexpr (std::is_void_v<decltype(store_.put(key, encode(kept), ttl))>) {
            store_.put(key, encode(kept), ttl);
            return 0;
        } else {
            return store_.put(key, encode(kept), ttl);
        }
    }
    Task<std::shared_ptr<const std::string>> look(const std::string& key) const {
        if constexpr (AsyncStore<StoreType>)
            return later(store_.async_get(key));
        else
            return later(NowOrLater{store_.get(key)});
    }
    template <class Json = nlohmann::json>
    static std::string encode(const Kept& kept) {
        const Response& response = kept.answer.response;
        Json headers = Json::array();
        for (const Header& header : response.headers) headers.push_back({header.name, header.value});
        const Json value = {
            {"v", 2},
            {"status", response.status},
            {"url", StoreType::is_deferred ? std::string{} : response.url},
            {"http", response.http_version},
            {"headers", std::move(headers)},
            {"body", Json::binary(std::vector<std::uint8_t>(response.body.begin(), response.body.end()))},
            {"vary", kept.vary},
            {"fresh_until", kept.answer.fresh_until.time_since_epoch().count()},
            {"stale_until", kept.answer.stale_until.time_since_epoch().count()}};
        std::string bytes;
        Json::to_cbor(value, bytes);
        return bytes;
    }

    template <class Json = nlohmann::json>
    static std::optional<Kept> decode(const std::shared_ptr<const std::string>& bytes) {
        if (!bytes) return {};
        const Json value = Json::from_cbor(*bytes, true, false);
        if (!value.is_object() || value.value("v", 0) != 2) return {};
        try {
            Kept kept;
            Response& response = kept.answer.response;
            response.status = value.at("status").template get<int>();
            response.url = value.at("url").template get<std::string>();
            response.http_version = value.at("http").template get<std::string>();
            for (const auto& header : value.at("headers")) {
                response.headers.add(header.at(0).template get<std::string>(),
                                     header.at(1).template get<std::string>());
            }
            const auto& body = value.at("body").get_binary();
            response.body.assign(body.begin(), body.end());
            kept.vary = value.at("vary").template get<std::vector<std::string>>();
            kept.answer.fresh_until = Instant{Duration{value.at("fresh_until").template get<std::int64_t>()}};
            kept.answer.stale_until = Instant{Duration{value.at("stale_until").template get<std::int64_t>()}};
            return kept;
        } catch (const typename Json::exception&) {
            return {};
        }
    }

    StoreType store_;
    std::string name_;
    std::vector<std::string> credentials_;
    std::shared_ptr<detail::VaryHints> hints_ = AsyncStore<StoreType> ? std::make_shared<detail::VaryHints>() : nullptr;
};

}  // namespace breakwater
