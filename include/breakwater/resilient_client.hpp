#pragma once

#include <breakwater/cache.hpp>
#include <breakwater/circuit_breaker.hpp>
#include <breakwater/client/bulkhead_policy.hpp>
#include <breakwater/client/cache_policy.hpp>
#include <breakwater/client/call.hpp>
#include <breakwater/client/circuits.hpp>
#include <breakwater/client/download.hpp>
#include <breakwater/client/endpoint.hpp>
#include <breakwater/client/exchange.hpp>
#include <breakwater/client/options.hpp>
#include <breakwater/client/pages.hpp>
#include <breakwater/client/prepare.hpp>
#include <breakwater/client/saved_state.hpp>
#include <breakwater/client/server_limit.hpp>
#include <breakwater/client/snapshot.hpp>
#include <breakwater/http/method.hpp>
#include <breakwater/http/redact.hpp>
#include <breakwater/http/request.hpp>
#include <breakwater/http/response.hpp>
#include <breakwater/pipeline/blocking_driver.hpp>
#include <breakwater/rate_limiter.hpp>
#include <breakwater/result.hpp>
#include <breakwater/retry.hpp>
#include <breakwater/store/memory.hpp>
#include <breakwater/transport/curl.hpp>
#include <breakwater/transport/transport.hpp>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>

namespace breakwater {

/// An HTTP client for an API that fails: cache, fallback, deadline, retry, circuit breaker, bulkhead and rate limits
/// around each call, in that order.
///
///     bw::ResilientClient client{bw::ClientOptions{.name = "dairy", .base_url = "https://api.example.com/v1"}};
///     bw::Result<bw::Response> page = client.get("/inventory", {.query = {{"page", 1}}});
///
/// A thread-safe handle: copies share connections, circuit, limits and cache. Make one for a service and keep it; a
/// client made for each call never learns anything. Calls block, for at most about their deadline, and do not throw:
/// an answer with an error status is an `Error` with the response inside.
template <Transport TransportType = CurlTransport, Store StoreType = MemoryStore<>, class Policies = RuntimePolicies>
class ResilientClient {
public:
    using Options = BasicClientOptions<Policies>;

    /// Throws `Exception` (`invalid_options`) naming the field if the options are wrong.
    explicit ResilientClient(Options options, TransportType transport = TransportType{}, StoreType store = StoreType{})
        : shared_{std::make_shared<Shared>(checked(std::move(options)), std::move(transport), std::move(store))} {}

    /// As the constructor, without throwing.
    static Result<ResilientClient> make(Options options, TransportType transport = TransportType{},
                                        StoreType store = StoreType{}) {
        if (auto ok = validate(options); !ok) return fail(std::move(ok).error());
        return ResilientClient{std::move(options), std::move(transport), std::move(store)};
    }

    Result<Response> get(std::string_view target, const RequestOptions& options = {}) const {
        return call(Method::get, target, options);
    }
    Result<Response> head(std::string_view target, const RequestOptions& options = {}) const {
        return call(Method::head, target, options);
    }
    Result<Response> post(std::string_view target, const RequestOptions& options = {}) const {
        return call(Method::post, target, options);
    }
    Result<Response> put(std::string_view target, const RequestOptions& options = {}) const {
        return call(Method::put, target, options);
    }
    Result<Response> patch(std::string_view target, const RequestOptions& options = {}) const {
        return call(Method::patch, target, options);
    }
    /// DELETE.
    Result<Response> del(std::string_view target, const RequestOptions& options = {}) const {
        return call(Method::del, target, options);
    }

    /// Sends a request of one's own: its `url` is a target or an absolute URL of the client's origin. Its headers and
    /// body stand; what `options` gives comes on top.
    Result<Response> send(Request request, const RequestOptions& options = {}) const {
        const std::string target = std::exchange(request.url, {});
        return call(std::move(request), target, options);
    }

    /// The pages of a listing, got one by one as a loop comes to them; nothing is sent before it begins.
    Pages<ResilientClient> pages(std::string target, PageOptions options = {}) const {
        return {*this, std::move(target), std::move(options)};
    }
    /// The items on these pages, which `options.items` finds.
    Items<ResilientClient> items(std::string target, PageOptions options = {}) const {
        return Items{pages(std::move(target), std::move(options))};
    }

    /// The same calls with the answer's body, which is JSON, as a T through nlohmann's conversions.
    ///
    /// A body that does not fit is `Errc::decode_failed` with the path in the document and the response inside. The
    /// service has answered: that is no failure to the circuit and not retried, and a cache keeps the answer.
    template <JsonDecodable T>
    Result<T> get_as(std::string_view target, const RequestOptions& options = {}) const {
        return decoded<T>(Method::get, target, options);
    }
    template <JsonDecodable T>
    Result<T> post_as(std::string_view target, const RequestOptions& options = {}) const {
        return decoded<T>(Method::post, target, options);
    }
    template <JsonDecodable T>
    Result<T> put_as(std::string_view target, const RequestOptions& options = {}) const {
        return decoded<T>(Method::put, target, options);
    }
    template <JsonDecodable T>
    Result<T> patch_as(std::string_view target, const RequestOptions& options = {}) const {
        return decoded<T>(Method::patch, target, options);
    }
    template <JsonDecodable T>
    Result<T> del_as(std::string_view target, const RequestOptions& options = {}) const {
        return decoded<T>(Method::del, target, options);
    }

    /// The client's circuit, bulkhead, limits, retry budget, endpoints and connections now, as JSON (`"version": 1`).
    /// Changes nothing, holds no secret.
    nlohmann::json snapshot() const {
        return client_snapshot(shared_->options.name, shared_->circuits(), shared_->bulkhead(), shared_->limiter,
                               shared_->retry_budget(), shared_->endpoints, shared_->transport);
    }

    /// What to keep when the process ends, as JSON: circuits, and what is spent of limits. `restore_state` goes on from
    /// there, in another process at another time: a restart does not refill a quota, nor does a crash loop. May be
    /// written at any time; holds no secret.
    nlohmann::json save_state() const {
        SavedState saved{.name = shared_->options.name,
                         .saved_at = wall_clock_now_us(),
                         .circuit = circuit_breaker().save(),
                         .rate_limit = shared_->limiter.save()};
        const auto into = [](auto& map) {
            return [&map](std::string key, const auto& own) { map.emplace(std::move(key), own); };
        };
        if (const auto* others = circuit_breakers()) others->save(into(saved.circuits));
        if (const auto* limiters = shared_->endpoints.limiters()) limiters->save(into(saved.endpoints));
        return saved;
    }
    /// To be called before the first request: circuits are replaced, and what was spent is spent. An error
    /// (`invalid_options`, every mistake named by its path) changes nothing; so does the state of a client of another
    /// name. A wall clock that was set back meanwhile counts as no time passed.
    Result<void> restore_state(const nlohmann::json& json) const {
        const auto saved = saved_state_from_json(json);
        if (!saved) return fail(saved.error());
        if (saved->name != shared_->options.name) {
            return detail::invalid_option("", "name", "the client's, " + detail::option_text(shared_->options.name),
                                          saved->name);
        }
        const Duration age = std::max(wall_clock_now_us() - saved->saved_at, Duration{0});
        circuit_breaker().restore(saved->circuit, age);
        shared_->limiter.restore(saved->rate_limit, age);
        if (const auto* others = circuit_breakers())
            for (const auto& [key, own] : saved->circuits) others->restore(key, own, age);
        if (const auto* limiters = shared_->endpoints.limiters())
            for (const auto& [key, own] : saved->endpoints) limiters->restore(key, own, age);
        return {};
    }

    const Options& options() const noexcept { return shared_->options; }
    /// The client's own circuit.
    const auto& circuit_breaker() const noexcept { return shared_->circuits().own(); }
    /// The circuits by host, or what `options().circuits` says; null if the client has its own only.
    const auto* circuit_breakers() const noexcept { return shared_->circuits().others(); }
    /// Null if the client has none.
    const Bulkhead* bulkhead() const noexcept { return shared_->bulkhead(); }
    const auto& rate_limiter() const noexcept { return shared_->limiter; }
    const auto& retry_budget() const noexcept { return shared_->retry_budget(); }

private:
    using Circuits = CircuitPolicy<typename Policies::Trip, StoreType>;
    using Limiter = RateLimiter<AnyAlgorithm, StoreType>;
    using Budget = RetryBudget<StoreType>;
    using RetryPolicy = Retry<typename Policies::JitterKind, AnyValue, Budget>;
    using ClockType = std::remove_cvref_t<decltype(std::declval<const StoreType&>().clock())>;
    using LimitPolicy = ClientLimitPolicy<Limiter>;
    using Endpoints = EndpointLimitPolicy<StoreType>;
    using SteeringPolicy = ServerLimitPolicy<Limiter, Endpoints>;
    using CallType = HttpCall<ClockType>;
    using Stack = std::tuple<CachePolicy<StoreType>, FallbackPolicy, RetryPolicy, Circuits, ClientBulkheadPolicy,
                             LimitPolicy, Endpoints, SteeringPolicy>;

    struct Shared {
        Shared(Options opts, TransportType trans, StoreType st)
            : options{std::move(opts)},
              preparation{options.base_url, options.headers, options.auth},
              redaction{redaction_of(options.redact, options.headers, options.auth)},
              transport{std::move(trans)},
              store{std::move(st)},
              limiter{{.name = options.name,
                       .algorithm = options.rate_limit.algorithm,
                       .max_wait = options.rate_limit.max_wait,
                       .max_pause = options.rate_limit.max_pause},
                      store},
              endpoints{options.name, limits_of(options, redaction), store},
              stack{
                  CachePolicy<StoreType>{{store, options.name, preparation.credential_headers()}, options.cache, store},
                  FallbackPolicy{options.fallback},
                  RetryPolicy{options.retry, Budget{options.retry_budget, store}},
                  Circuits{options.circuit_breaker, circuits_of(options, redaction), options.base_url, store},
                  ClientBulkheadPolicy{options.name, options.bulkhead},
                  LimitPolicy{limiter,
                              endpoints.limiters() == nullptr ? LimitPolicy::Heeds::yes : LimitPolicy::Heeds::no},
                  endpoints,
                  SteeringPolicy{options.rate_limit.heed_server, limiter, endpoints}} {}

        const Circuits& circuits() const noexcept { return std::get<Circuits>(stack); }
        const Bulkhead* bulkhead() const noexcept { return std::get<ClientBulkheadPolicy>(stack).bulkhead(); }
        const Budget& retry_budget() const noexcept { return std::get<RetryPolicy>(stack).budget(); }

        const Options options;
        const RequestPreparation preparation;
        const Redaction redaction;
        const TransportType transport;
        const StoreType store;
        const Limiter limiter;
        const Endpoints endpoints;
        const Stack stack;
    };

    // Keys are shown in events and errors.
    static CircuitKeyOptions circuits_of(const Options& options, const Redaction& words) {
        CircuitKeyOptions circuits = options.circuits;
        circuits.per = without_secrets(circuits.per ? circuits.per : by_host(), words);
        return circuits;
    }
    static ClientRateLimitOptions limits_of(const Options& options, const Redaction& words) {
        ClientRateLimitOptions limits = options.rate_limit;
        RequestKey& key = limits.per_endpoint.key;
        key = without_secrets(key ? key : by_endpoint(), words);
        return limits;
    }

    static Options checked(Options options) {
        if (auto ok = validate(options); !ok) throw Exception{ok.error()};
        if (options.circuit_breaker.name.empty()) options.circuit_breaker.name = options.name;
        if (options.retry_budget.name.empty()) options.retry_budget.name = options.name;
        options.circuit_breaker.deadline_counts_after =
            std::min(options.circuit_breaker.deadline_counts_after, options.timeouts.attempt);
        return options;
    }

    Result<Response> call(const Method& method, std::string_view target, const RequestOptions& options) const {
        return call(Request{.method = method}, target, options);
    }

    std::string subject_for(const Method& method, std::string_view target) const {
        std::string subject = subject_of(method, target);
        if (shared_->redaction.is_telling(subject)) [[unlikely]]
            subject = shared_->redaction.text(subject);
        return subject;
    }

    template <class T>
    Result<T> decoded(const Method& method, std::string_view target, const RequestOptions& options) const {
        const Result<Response> answer = call(method, target, options);
        Result<T> result = decode_as<T>(answer);
        if (answer && !result) {
            redact(result.error(), shared_->redaction, Request{});
            result.error()
                .set_subject(subject_for(method, target))
                .set_attempts(static_cast<unsigned>(answer->timeline.size()))
                .set_timeline(answer->timeline);
        }
        return result;
    }

    Result<Response> call(Request request, std::string_view target, const RequestOptions& options) const {
        Shared& shared = *shared_;
        const std::string subject = subject_for(request.method, target);
        if (auto ok = shared.preparation.prepare(request, target, options); !ok) {
            redact(ok.error(), shared.redaction, request);
            return fail(std::move(ok.error().set_subject(subject)));
        }
        if (options.save_to) return save(std::move(request), subject, options);
        return make(std::move(request), subject, options);
    }

    /// Makes a call whose answer goes to a sink.
    [[gnu::noinline]] Result<Response> save(Request request, const std::string& subject,
                                            const RequestOptions& options) const {
        if (request.method == Method::head) {
            return fail(Error{Errc::invalid_request, "save_to: HEAD has no body to save"}.set_subject(subject));
        }
        Download download{options.save_to};
        if (auto ok = download.open(); !ok) return fail(std::move(ok.error().set_subject(subject)));
        auto result = make(std::move(request), subject, options, &download);
        if (!result || !result->is_success() || result->source != Source::network) return result;
        if (auto ok = download.keep(); !ok) return fail(std::move(ok.error().set_subject(subject)));
        return result;
    }

    /// Makes a call whose request is complete. (Of its own, so that the result is made where the caller wants it.)
    Result<Response> make(Request request, const std::string& subject, const RequestOptions& options,
                          Download* download = nullptr) const {
        Shared& shared = *shared_;
        CallType call{shared.store.clock(), std::move(request), options};
        call.stop = &options.stop;
        call.set_observer(shared.options.observer);
        const CallFacts facts{.subject = subject, .tag = options.tag};
        call.facts = &facts;
        call.only_once = !is_resendable(call.request);
        call.download = download;
        call.has_own_fallback = static_cast<bool>(options.fallback);
        call.set_deadline(options.deadline.value_or(shared.options.timeouts.deadline));

        const auto take_hop = [&](const Request& next) { return permit_for(next); };
        auto attempt = [&](CallType& own) {
            Result<Response> answer = exchange(own, shared.transport, shared.options, take_hop);
            if (!answer) [[unlikely]]
                redact(answer.error(), shared.redaction, own.request);
            return answer;
        };
        Result<Response> result = run(call, attempt);
        if (result) {
            result->timeline = std::move(call.timeline);
        } else {
            if (result.error().exception()) redact(result.error(), shared.redaction, call.request);
            result.error().set_attempts(call.attempt).set_subject(subject).set_timeline(std::move(call.timeline));
        }
        report_end(call, result);
        return result;
    }

    template <class F>
    Result<Response> run(CallType& call, F& attempt) const {
        return std::apply(
            [&]<class... P>(const P&...) {
                return BlockingDriver<CallType, Response, F, P...>{shared_->stack, call, attempt}.run();
            },
            shared_->stack);
    }

    /// Each redirect takes a permit of its own.
    Result<void> permit_for(const Request& next) const {
        if (auto own = shared_->limiter.try_acquire(); !own) return own;
        return shared_->endpoints.try_acquire(next);
    }

    static void report_end(CallType& call, const Result<Response>& result) {
        if (!call.is_observed()) return;
        const Duration took = call.now() - call.began;
        if (result) {
            call.emit({.kind = EventKind::call_ended, .status = result->status, .took = took});
        } else {
            const Error& error = result.error();
            call.emit({.kind = EventKind::call_ended,
                       .policy = error.policy(),
                       .code = error.code(),
                       .status = error.status(),
                       .delay = error.retry_after(),
                       .took = took,
                       .stopped_by = error.stopped_by()});
        }
    }

    std::shared_ptr<Shared> shared_;
};

ResilientClient(ClientOptions) -> ResilientClient<>;
template <Transport T>
ResilientClient(ClientOptions, T) -> ResilientClient<T>;
template <Transport T, Store S>
ResilientClient(ClientOptions, T, S) -> ResilientClient<T, S>;

}  // namespace breakwater
