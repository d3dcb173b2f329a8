#pragma once

#include <breakwater/bulkhead.hpp>
#include <breakwater/client/caller.hpp>
#include <breakwater/client/core.hpp>
#include <breakwater/client/options.hpp>
#include <breakwater/client/pages.hpp>
#include <breakwater/client/request_options.hpp>
#include <breakwater/client/snapshot.hpp>
#include <breakwater/http/body.hpp>
#include <breakwater/http/download_options.hpp>
#include <breakwater/http/file_body.hpp>
#include <breakwater/http/method.hpp>
#include <breakwater/http/request.hpp>
#include <breakwater/http/response.hpp>
#include <breakwater/http/sink.hpp>
#include <breakwater/result.hpp>
#include <breakwater/store/memory.hpp>
#include <breakwater/task.hpp>
#include <breakwater/task/start.hpp>
#include <breakwater/transport/curl.hpp>
#include <breakwater/transport/transport.hpp>

#include <concepts>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace breakwater {

/// An HTTP client for an API that fails: cache, fallback, coalescing, deadline, retry, hedge, circuit breaker, bulkhead
/// and rate limits around each call, in that order.
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
        : handle_{std::make_shared<ClientHandle<Core>>(
              std::make_shared<Core>(checked(std::move(options)), std::move(transport), std::move(store)))} {}

    /// As the constructor, without throwing.
    static Result<ResilientClient> make(Options options, TransportType transport = TransportType{},
                                        StoreType store = StoreType{}) {
        if (auto ok = Core::check(options); !ok) return fail(std::move(ok).error());
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

    /// Gets a file: it stands there, or is replaced, when the whole has come and is verified, and not before
    /// (`to_file`). An attempt goes on where the one before broke off (`Resume`), so its timeout may be shorter than
    /// the whole takes:
    ///
    ///     client.download("/export.csv", "export.csv", {.verify = bw::server_digest()}, {.deadline = 10min});
    ///
    /// The response has no body; its status is 206 if an attempt went on. `request.save_to` is not heeded.
    Result<Response> download(std::string_view target, std::filesystem::path file, DownloadOptions options = {},
                              RequestOptions request = {}) const {
        request.save_to = to_file(std::move(file), std::move(options));
        return call(Method::get, target, request);
    }
    /// Puts a file, read while it is sent; opened anew by a retry. (For POST: `.body = from_file(…)`.)
    Result<Response> upload(std::string_view target, std::filesystem::path file, RequestOptions options = {}) const {
        return upload(target, from_file(std::move(file)), std::move(options));
    }
    /// The same of `replayable_body(…)` or `one_shot_body(…)`. What can be read only once is never sent again; an error
    /// that would have been retried says so: `stopped_by()` is `Errc::not_replayable`.
    template <std::same_as<Body> Source>
    Result<Response> upload(std::string_view target, Source source, RequestOptions options = {}) const {
        options.body = std::move(source);
        return call(Method::put, target, options);
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
        return caller().template decoded<T>(Method::get, target, options);
    }
    template <JsonDecodable T>
    Result<T> post_as(std::string_view target, const RequestOptions& options = {}) const {
        return caller().template decoded<T>(Method::post, target, options);
    }
    template <JsonDecodable T>
    Result<T> put_as(std::string_view target, const RequestOptions& options = {}) const {
        return caller().template decoded<T>(Method::put, target, options);
    }
    template <JsonDecodable T>
    Result<T> patch_as(std::string_view target, const RequestOptions& options = {}) const {
        return caller().template decoded<T>(Method::patch, target, options);
    }
    template <JsonDecodable T>
    Result<T> del_as(std::string_view target, const RequestOptions& options = {}) const {
        return caller().template decoded<T>(Method::del, target, options);
    }

    // The same calls as tasks: `co_await client.async_get("/users/42")`. Nothing blocks: thousands may be in flight on
    // one thread, the transport's or that of the context's scheduler, where the awaiting coroutine goes on. A call
    // begins when it is awaited, by the options that the client has when it is made. With g++ 12 a call that takes
    // options is given a name before it is awaited (see `NamedTask`). When the client's last handle goes, what is under
    // way is cancelled. A store that answers later is awaited like all else if it is an `AsyncStore`, as `RedisStore`
    // is; another one is waited for on that thread.

    Task<Result<Response>> async_get(std::string_view target) const { return async_call(Method::get, target); }
    Task<Result<Response>> async_head(std::string_view target) const { return async_call(Method::head, target); }
    Task<Result<Response>> async_post(std::string_view target) const { return async_call(Method::post, target); }
    Task<Result<Response>> async_put(std::string_view target) const { return async_call(Method::put, target); }
    Task<Result<Response>> async_patch(std::string_view target) const { return async_call(Method::patch, target); }
    Task<Result<Response>> async_del(std::string_view target) const { return async_call(Method::del, target); }

    NamedTask<Result<Response>> async_get(std::string_view target, RequestOptions options) const {
        return async_call(Method::get, target, std::move(options));
    }
    NamedTask<Result<Response>> async_head(std::string_view target, RequestOptions options) const {
        return async_call(Method::head, target, std::move(options));
    }
    NamedTask<Result<Response>> async_post(std::string_view target, RequestOptions options) const {
        return async_call(Method::post, target, std::move(options));
    }
    NamedTask<Result<Response>> async_put(std::string_view target, RequestOptions options) const {
        return async_call(Method::put, target, std::move(options));
    }
    NamedTask<Result<Response>> async_patch(std::string_view target, RequestOptions options) const {
        return async_call(Method::patch, target, std::move(options));
    }
    NamedTask<Result<Response>> async_del(std::string_view target, RequestOptions options) const {
        return async_call(Method::del, target, std::move(options));
    }
    NamedTask<Result<Response>> async_send(Request request, RequestOptions options = {}) const {
        const std::string target = std::exchange(request.url, {});
        return caller().async_call(std::move(request), target, own(std::move(options)));
    }
    /// Sends now; calls `on_done(Result<Response>)`, which must not throw, on the transport's thread.
    template <std::invocable<Result<Response>> F>
    void async_send(Request request, F on_done) const {
        start(Task<Result<Response>>{async_send(std::move(request))}, std::move(on_done));
    }

    /// As `download` and `upload`. Files are written and read on the transport's thread.
    Task<Result<Response>> async_download(std::string_view target, std::filesystem::path file) const {
        return async_call(Method::get, target, {.save_to = to_file(std::move(file))});
    }
    NamedTask<Result<Response>> async_download(std::string_view target, std::filesystem::path file,
                                               DownloadOptions options, RequestOptions request = {}) const {
        request.save_to = to_file(std::move(file), std::move(options));
        return async_call(Method::get, target, std::move(request));
    }
    NamedTask<Result<Response>> async_upload(std::string_view target, std::filesystem::path file,
                                             RequestOptions options = {}) const {
        return async_upload(target, from_file(std::move(file)), std::move(options));
    }
    template <std::same_as<Body> Source>
    NamedTask<Result<Response>> async_upload(std::string_view target, Source source,
                                             RequestOptions options = {}) const {
        options.body = std::move(source);
        return async_call(Method::put, target, std::move(options));
    }

    /// As `get_as`.
    template <JsonDecodable T>
    Task<Result<T>> async_get_as(std::string_view target) const {
        return caller().template async_decoded<T>(Method::get, target, no_request_options());
    }
    template <JsonDecodable T>
    NamedTask<Result<T>> async_get_as(std::string_view target, RequestOptions options) const {
        return caller().template async_decoded<T>(Method::get, target, own(std::move(options)));
    }
    template <JsonDecodable T>
    NamedTask<Result<T>> async_post_as(std::string_view target, RequestOptions options) const {
        return caller().template async_decoded<T>(Method::post, target, own(std::move(options)));
    }

    /// Goes on by other options, of the same names: for this handle and all its copies. A call goes by the options that
    /// the client has when it begins, with all its attempts.
    ///
    /// What the client has learned stays: circuits with what they have counted, open and forced ones (no circuit stays
    /// open for longer than the new options allow), what is spent of limits and of the retry budget, pauses, the
    /// forecast, the cache and the connections. Calls in flight count against the new bulkhead if they hold a permit:
    /// not those that began while there was no bulkhead. What they still take of a limit whose algorithm counts in
    /// another form by then comes on top. An error (`invalid_options`, naming the field) changes nothing. Thread-safe;
    /// one takes place after the other.
    Result<void> reconfigure(Options options) const { return core()->reconfigure(std::move(options)); }

    /// The client's circuit, bulkhead, limits, retry budget, forecast, endpoints and connections now, as JSON
    /// (`"version": 1`). Changes nothing, holds no secret.
    nlohmann::json snapshot() const { return client_snapshot(*core()->stack(), core()->transport()); }

    /// What to keep when the process ends, as JSON: circuits, and what is spent of limits and of the retry budget.
    /// `restore_state` goes on from there, in another process at another time: a restart does not refill a quota, nor
    /// does a crash loop. May be written at any time; holds no secret.
    nlohmann::json save_state() const { return core()->stack()->save(); }
    /// To be called before the first request: circuits are replaced, and what was spent is spent. An error
    /// (`invalid_options`, every mistake named by its path) changes nothing; so does the state of a client of another
    /// name. A wall clock that was set back meanwhile counts as no time passed.
    Result<void> restore_state(const nlohmann::json& json) const { return core()->restore(json); }

    // What the client has now. These are handles; after `reconfigure` the client has others, of the same state but for
    // limits whose form has changed. Keep one as long as what it refers to.

    Options options() const { return core()->stack()->options; }
    /// The client's own circuit.
    auto circuit_breaker() const { return core()->stack()->circuits().own(); }
    /// The circuits by host, or what `options().circuits` says; empty if the client has its own only.
    auto circuit_breakers() const { return copy_of(core()->stack()->circuits().others()); }
    /// Empty if the client has none.
    std::optional<Bulkhead> bulkhead() const { return copy_of(core()->stack()->bulkhead()); }
    auto rate_limiter() const { return core()->stack()->limiter; }
    /// Empty if the client has none.
    auto adaptive_limit() const { return copy_of(core()->stack()->adaptive_limit()); }
    /// Empty if the client has none.
    auto throttle() const { return copy_of(core()->stack()->throttle()); }
    /// Empty if the client has none.
    auto forecast() const { return copy_of(core()->stack()->forecast()); }
    /// Empty if the client has none.
    auto hedge() const { return copy_of(core()->stack()->hedge()); }
    auto retry_budget() const { return core()->stack()->retry_budget(); }

private:
    using Core = ClientCore<TransportType, StoreType, Policies>;

    static Options checked(Options options) {
        if (auto ok = Core::check(options); !ok) throw Exception{ok.error()};
        return options;
    }
    template <class T>
    static std::optional<T> copy_of(const T* own) {
        return own == nullptr ? std::nullopt : std::optional<T>{*own};
    }

    ClientCaller<Core> caller() const { return ClientCaller<Core>{core()}; }
    Result<Response> call(Request request, std::string_view target, const RequestOptions& options) const {
        return caller().call(std::move(request), target, options);
    }
    Result<Response> call(const Method& method, std::string_view target, const RequestOptions& options) const {
        return call(Request{.method = method}, target, options);
    }

    static OwnRequestOptions own(RequestOptions options) {
        return std::make_shared<const RequestOptions>(std::move(options));
    }
    Task<Result<Response>> async_call(const Method& method, std::string_view target) const {
        return caller().async_call(Request{.method = method}, target, no_request_options());
    }
    Task<Result<Response>> async_call(const Method& method, std::string_view target, RequestOptions options) const {
        return caller().async_call(Request{.method = method}, target, own(std::move(options)));
    }

    const std::shared_ptr<Core>& core() const noexcept { return handle_->core(); }

    std::shared_ptr<const ClientHandle<Core>> handle_;
};

ResilientClient(ClientOptions) -> ResilientClient<>;
template <Transport T>
ResilientClient(ClientOptions, T) -> ResilientClient<T>;
template <Transport T, Store S>
ResilientClient(ClientOptions, T, S) -> ResilientClient<T, S>;

}  // namespace breakwater
