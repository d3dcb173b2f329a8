#include <catch_shim.hpp>
#include <unit/scripted_client.hpp>

#include <optional>
#include <set>
#include <sstream>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::Errc;
using bw::Error;
using bw::Method;
using bw::Response;
using bw::Source;
using Catch::Matchers::ContainsSubstring;

namespace {

using Store = test::ScriptedStore;
using Client = test::ScriptedClient;

/// A service that follows a script, and a store whose clock only the test moves.
struct World {
    World() {
        service.on_elapse([clock = clock](bw::Duration took) { clock.advance(took); });
    }
    Client client(bw::ClientOptions options = {}) const {
        if (options.base_url.empty()) options.base_url = "http://api.test/v1";
        options.retry.backoff = {.base = 1s, .multiplier = 1, .cap = 1s, .jitter = bw::Jitter::none};
        return Client{std::move(options), service, store};
    }
    void answers(std::vector<bw::ScriptedAnswer> list) const {
        for (auto& one : list) service.add(std::move(one));
    }
    std::string last_url() const { return service.requests().back().url; }

    bw::ManualClock clock;
    Store store{clock};
    bw::ScriptedTransport service;
};

Response answer(int status, bw::Headers headers = {}, std::string body = {}) {
    return {.status = status, .headers = std::move(headers), .body = std::move(body)};
}
Response ok(std::string body = {}, bw::Headers headers = {}) {
    return answer(200, std::move(headers), std::move(body));
}

Error error_of(const bw::Result<Response>& result) {
    if (result) FAIL("expected an error, got status " << result->status);
    return result.error();
}

/// Whether a second request is answered without asking the service.
bool is_kept(const Client& client, const bw::ScriptedTransport& service, const bw::RequestOptions& first = {},
             const bw::RequestOptions& second = {}) {
    (void)client.get("/x", first);
    const auto before = service.count();
    const auto again = client.get("/x", second);
    return service.count() == before && again && again->source == Source::cache;
}

constexpr auto no_retries = [] {
    bw::RetryOptions<> retry;
    retry.max_retries = 0;
    return retry;
};

}  // namespace

// --- Errors and retries ---

TEST_CASE("an error status is an error with the response inside, asked for once if it would not pass") {
    for (const int status : {400, 401, 403, 404, 409, 422, 501, 505}) {
        const World world;
        world.answers({answer(status, {{"X-Reason", "r"}}, R"({"why": 1})")});
        const Error error = error_of(world.client().get("/item"));
        CHECK(error.code() == Errc::http_status);
        CHECK(error.status() == status);
        REQUIRE(error.response() != nullptr);
        CHECK(error.response()->header("x-reason") == "r");
        CHECK(error.response()->json()["why"] == 1);
        CHECK(error.attempts() == 1);
        CHECK(world.service.count() == 1);
    }
}

TEST_CASE("statuses that may pass are tried again until the service answers") {
    for (const int status : {408, 429, 500, 502, 503, 504}) {
        const World world;
        world.answers({answer(status), answer(status), ok("here")});
        const auto result = world.client().get("/item");
        REQUIRE(result);
        CHECK(result->body == "here");
        CHECK(result->source == Source::network);
        CHECK(world.clock.waits() == std::vector<bw::Duration>{1s, 1s});
    }
}

TEST_CASE("max_retries counts retries, and the last error is the call's") {
    const World world;
    world.answers({Error{Errc::connect_failed}, Error{Errc::empty_answer}, answer(500)});
    const Error error = error_of(world.client({.retry = {.max_retries = 2}}).get("/item"));
    CHECK(error.status() == 500);
    CHECK(error.attempts() == 3);
    CHECK_FALSE(error.stopped_by());
    CHECK(world.service.left() == 0);
}

TEST_CASE("an unsafe method is not sent a second time once it may have arrived") {
    for (const Method& method : {Method::post, Method::patch}) {
        for (const auto& first : {bw::ScriptedAnswer{answer(503)}, bw::ScriptedAnswer{Error{Errc::receive_failed}},
                                  bw::ScriptedAnswer{Error{Errc::attempt_timeout}}}) {
            const World world;
            world.answers({first, ok()});
            CHECK_FALSE(world.client().send({.method = method, .url = "/orders"}));
            CHECK(world.service.count() == 1);
            CHECK_FALSE(world.service.exchanges()[0].options.resendable);
        }
    }
}

TEST_CASE("an unsafe method is tried again when it was never sent") {
    for (const Errc code : {Errc::resolve_failed, Errc::connect_failed, Errc::connect_timeout}) {
        const World world;
        world.answers({Error{code}, ok()});
        CHECK(world.client().post("/orders"));
        CHECK(world.service.count() == 2);
    }
}

TEST_CASE("idempotent methods are tried again whatever happened") {
    const World world;
    const Client client = world.client();
    for (const Method& method : {Method::get, Method::head, Method::put, Method::del}) {
        world.answers({Error{Errc::receive_failed}, ok()});
        CHECK(client.send({.method = method, .url = "/item"}));
    }
    CHECK(world.service.count() == 8);
}

TEST_CASE("an idempotency key makes any method safe to retry and is the same on all attempts") {
    const World world;
    const Client client = world.client();
    world.answers({answer(503), Error{Errc::receive_failed}, ok(), answer(503), ok(), answer(503), ok()});
    REQUIRE(client.post("/orders", {.idempotency_key = bw::auto_key}));
    REQUIRE(client.post("/orders", {.idempotency_key = bw::auto_key}));
    REQUIRE(client.post("/orders", {.idempotency_key = "order-7"}));
    std::vector<std::string> keys;
    for (const auto& request : world.service.requests()) {
        keys.emplace_back(request.headers.get("Idempotency-Key").value_or(""));
    }
    REQUIRE(keys.size() == 7);
    CHECK(keys[0] == keys[1]);
    CHECK(keys[1] == keys[2]);
    CHECK(keys[3] == keys[4]);
    CHECK(keys[0] != keys[3]);
    CHECK(keys[5] == "order-7");
    CHECK(keys[6] == "order-7");
    REQUIRE(keys[0].size() == 36);
    CHECK(keys[0][14] == '4');
    CHECK(std::string{"89ab"}.find(keys[0][19]) != std::string::npos);
    CHECK(world.service.exchanges()[0].options.resendable);
}

// --- Retry-After ---

TEST_CASE("a Retry-After comes on top of the delay and is bounded") {
    const World world;
    world.answers({answer(503, {{"Retry-After", "7"}}), ok(), answer(429, {{"Retry-After", "7200"}}), ok()});
    const Client client = world.client({.timeouts = {.deadline = 1h}, .rate_limit = {.max_pause = 10s}});
    CHECK(client.get("/x"));
    CHECK(client.get("/x"));
    CHECK(world.clock.waits() == std::vector<bw::Duration>{8s, 301s});
}

TEST_CASE("a Retry-After pauses all clients of the store and name, and no other") {
    for (const int status : {429, 503}) {
        const World world;
        world.answers({answer(status, {{"Retry-After", "20"}}), ok(), ok(), ok()});
        const Client one = world.client({.name = "dairy", .retry = no_retries()});
        const Client copy = one;
        const Client other = world.client({.name = "dairy"});
        const Client stranger = world.client({.name = "bakery"});
        CHECK(error_of(one.get("/x")).retry_after() == bw::Duration{20s});
        for (const Client& paused : {one, copy, other}) {
            const Error error = error_of(paused.post("/x"));
            CHECK(error.is_refusal(Errc::rate_limited));
            CHECK(error.retry_after() == bw::Duration{20s});
            CHECK(error.attempts() == 0);
        }
        CHECK(stranger.get("/x"));
        world.clock.advance(20s);
        CHECK(one.get("/x"));
        CHECK(other.get("/x"));
    }
}

TEST_CASE("a Retry-After on another status pauses nobody") {
    const World world;
    world.answers({answer(500, {{"Retry-After", "20"}}), ok()});
    const Client client = world.client({.retry = no_retries()});
    CHECK_FALSE(client.get("/x"));
    CHECK(client.get("/x"));
}

TEST_CASE("a 429 with Retry-After says nothing about the service, one without is a failure") {
    const World world;
    world.answers({answer(429, {{"Retry-After", "1"}}), answer(429)});
    const Client client =
        world.client({.circuit_breaker = {.trip = bw::ConsecutiveFailures{1}}, .retry = no_retries()});
    CHECK_FALSE(client.get("/x"));
    CHECK(client.circuit_breaker().state() == bw::CircuitState::closed);
    world.clock.advance(1s);
    CHECK_FALSE(client.get("/x"));
    CHECK(client.circuit_breaker().state() == bw::CircuitState::open);
}

TEST_CASE("a 4xx shows that the service works: it ends a streak of failures") {
    const World world;
    world.answers({answer(500), answer(404), answer(500), answer(500)});
    const Client client =
        world.client({.circuit_breaker = {.trip = bw::ConsecutiveFailures{2}}, .retry = no_retries()});
    for (int i = 0; i < 3; ++i) CHECK_FALSE(client.get("/x"));
    CHECK(client.circuit_breaker().state() == bw::CircuitState::closed);
    CHECK_FALSE(client.get("/x"));
    CHECK(client.circuit_breaker().state() == bw::CircuitState::open);
}

// --- Refusals ---

TEST_CASE("a call refused before its first attempt ends with the refusal") {
    const World world;
    world.answers({answer(500), ok()});
    const Client client =
        world.client({.name = "dairy",
                      .circuit_breaker = {.trip = bw::ConsecutiveFailures{1}, .recovery_timeout = 30s},
                      .retry = no_retries()});
    CHECK_FALSE(client.get("/x"));
    world.clock.advance(10s);
    const Error error = error_of(client.get("/x"));
    CHECK(error.code() == Errc::circuit_open);
    CHECK(error.circuit_state() == bw::CircuitState::open);
    CHECK(error.retry_after() == bw::Duration{20s});
    CHECK(error.attempts() == 0);
    CHECK(error.response() == nullptr);
    CHECK(error.timeline().empty());
    CHECK(error.message() == "GET /x: the circuit is open (dairy); try again in 20 s");
    CHECK(world.service.count() == 1);
    world.clock.advance(20s);
    CHECK(client.get("/x"));
    CHECK(client.circuit_breaker().state() == bw::CircuitState::closed);
}

TEST_CASE("a call refused later ends with its last real error, and both are seen") {
    const World world;
    world.answers({answer(502), answer(503, {}, "busy")});
    const Client client =
        world.client({.circuit_breaker = {.trip = bw::ConsecutiveFailures{2}, .recovery_timeout = 30s}});
    const Error error = error_of(client.get("/x"));
    CHECK(error.code() == Errc::http_status);
    CHECK(error.status() == 503);
    REQUIRE(error.response() != nullptr);
    CHECK(error.response()->body == "busy");
    CHECK(error.stopped_by() == Errc::circuit_open);
    CHECK(error.is_refusal(Errc::circuit_open));
    CHECK(error.attempts() == 2);
    CHECK(error.retry_after() == bw::Duration{29s});
    CHECK(world.service.count() == 2);
}

TEST_CASE("a rate limit refuses at once, or waits as long as it may") {
    const World world;
    world.answers({ok(), ok(), ok()});
    const bw::AnyAlgorithm one_a_second = bw::TokenBucket{.permits = 1, .period = 1s};
    const Client hasty = world.client({.name = "a", .rate_limit = {.algorithm = one_a_second}});
    CHECK(hasty.get("/x"));
    const Error refused = error_of(hasty.get("/x"));
    CHECK(refused.is_refusal(Errc::rate_limited));
    CHECK(refused.retry_after() == bw::Duration{1s});
    CHECK(world.clock.waits().empty());

    const Client patient = world.client({.name = "b", .rate_limit = {.algorithm = one_a_second, .max_wait = 5s}});
    CHECK(patient.get("/x"));
    CHECK(patient.get("/x"));
    CHECK(world.clock.waits() == std::vector<bw::Duration>{1s});
}

TEST_CASE("a call waits for no permit past its deadline") {
    const World world;
    world.answers({ok()});
    const Client client =
        world.client({.rate_limit = {.algorithm = bw::TokenBucket{.permits = 1, .period = 1min}, .max_wait = 10min}});
    CHECK(client.get("/x"));
    CHECK(error_of(client.get("/x", {.deadline = 30s})).is_refusal(Errc::rate_limited));
    CHECK(world.clock.waits().empty());
}

// --- Fallback and stale answers ---

TEST_CASE("a stale answer stands in for a failure and for a refusal, within its window") {
    const World world;
    world.answers({ok("old"), answer(503), Error{Errc::connect_failed}});
    const Client client =
        world.client({.circuit_breaker = {.trip = bw::ConsecutiveFailures{2}, .recovery_timeout = 24h},
                      .retry = no_retries(),
                      .cache = {.ttl = 10s, .stale_if_error = 1min}});
    CHECK(client.get("/x"));
    world.clock.advance(10s);
    for (int i = 0; i < 3; ++i) {  // an answer, no connection, an open circuit
        const auto stale = client.get("/x");
        REQUIRE(stale);
        CHECK(stale->source == Source::stale_cache);
        CHECK(stale->body == "old");
        CHECK(stale->timeline.size() == (i < 2 ? 1 : 0));
    }
    CHECK(client.circuit_breaker().state() == bw::CircuitState::open);
    world.clock.advance(1min);
    CHECK(error_of(client.get("/x")).is_refusal(Errc::circuit_open));
}

TEST_CASE("a stale answer hides neither a caller's mistake nor a cancelled call") {
    const World world;
    std::stop_source source;
    world.answers({ok("old"), answer(404), [&](const bw::Request&) -> bw::Result<Response> {
                       source.request_stop();
                       return bw::fail(Errc::cancelled);
                   }});
    const Client client = world.client({.cache = {.ttl = 10s, .stale_if_error = 1h}});
    CHECK(client.get("/x"));
    world.clock.advance(10s);
    CHECK(error_of(client.get("/x")).status() == 404);
    CHECK(error_of(client.get("/x", {.stop = source.get_token()})).code() == Errc::cancelled);
}

TEST_CASE("an answer that must be revalidated is never served stale") {
    const World world;
    world.answers({ok("old", {{"Cache-Control", "max-age=5, must-revalidate"}}), answer(503)});
    const Client client = world.client({.retry = no_retries(), .cache = {.ttl = 10s, .stale_if_error = 1h}});
    CHECK(client.get("/x"));
    world.clock.advance(5s);
    CHECK(error_of(client.get("/x")).status() == 503);
}

TEST_CASE("a fallback answers failures and refusals and says that it did") {
    const World world;
    world.answers({answer(500), answer(404)});
    const Client client = world.client({.circuit_breaker = {.trip = bw::ConsecutiveFailures{1}},
                                        .retry = no_retries(),
                                        .fallback = {.answer = [](const Error& error) -> bw::Result<Response> {
                                            return ok(error.is_refusal() ? "refused" : "failed");
                                        }}});
    const auto failed = client.get("/x");
    REQUIRE(failed);
    CHECK(failed->body == "failed");
    CHECK(failed->source == Source::fallback);
    CHECK(failed->timeline.size() == 1);
    CHECK(client.get("/x").value().body == "refused");
    CHECK(client.get("/x").value().source == Source::fallback);
}

TEST_CASE("a fallback answers no caller's mistake, no cancelled call and no invalid request") {
    const World world;
    world.answers({answer(404), answer(422)});
    const Client client = world.client(
        {.retry = no_retries(), .fallback = {.answer = [](const Error&) { return bw::Result<Response>{ok()}; }}});
    CHECK(error_of(client.get("/x")).status() == 404);
    CHECK(error_of(client.post("/x")).status() == 422);
    std::stop_source stopped;
    stopped.request_stop();
    CHECK(error_of(client.get("/x", {.stop = stopped.get_token()})).code() == Errc::cancelled);
    CHECK(error_of(client.get("//evil.test")).code() == Errc::invalid_request);
}

TEST_CASE("a fallback may be narrowed, replaced by the call, or fail") {
    const World world;
    world.answers({answer(500), answer(500), answer(500)});
    const Client narrow =
        world.client({.name = "narrow",
                      .circuit_breaker = {.trip = bw::ConsecutiveFailures{1}},
                      .retry = no_retries(),
                      .fallback = {.answer = [](const Error&) { return bw::Result<Response>{ok("client's")}; },
                                   .on = bw::when_open}});
    CHECK(error_of(narrow.get("/x")).status() == 500);
    CHECK(narrow.get("/x").value().body == "client's");
    CHECK(
        narrow.get("/x", {.fallback = [](const Error&) { return bw::Result<Response>{ok("call's")}; }}).value().body ==
        "call's");

    const Client plain = world.client({.name = "plain", .retry = no_retries()});
    CHECK(
        plain.get("/x", {.fallback = [](const Error&) { return bw::Result<Response>{ok("call's")}; }}).value().source ==
        Source::fallback);
    const auto thrown =
        plain.get("/x", {.fallback = [](const Error&) -> bw::Result<Response> { throw std::runtime_error{"no"}; }});
    CHECK(error_of(thrown).status() == 500);
}

TEST_CASE("a stale answer goes before a fallback") {
    const World world;
    world.answers({ok("old"), answer(500)});
    const Client client =
        world.client({.retry = no_retries(),
                      .cache = {.ttl = 10s, .stale_if_error = 1h},
                      .fallback = {.answer = [](const Error&) { return bw::Result<Response>{ok()}; }}});
    CHECK(client.get("/x"));
    world.clock.advance(10s);
    CHECK(client.get("/x").value().source == Source::stale_cache);
}

// --- Cache ---

TEST_CASE("a fresh hit costs neither a permit nor the circuit") {
    const World world;
    world.answers({ok("kept"), answer(500)});
    const Client client = world.client({.circuit_breaker = {.trip = bw::ConsecutiveFailures{1}},
                                        .rate_limit = {.algorithm = bw::FixedWindow{.permits = 2, .window = 24h}},
                                        .retry = no_retries(),
                                        .cache = {.ttl = 10s}});
    CHECK(client.get("/x").value().source == Source::network);
    CHECK_FALSE(client.get("/fails"));  // the circuit is open and the permits are spent
    const auto hit = client.get("/x");
    REQUIRE(hit);
    CHECK(hit->source == Source::cache);
    CHECK(hit->body == "kept");
    CHECK(hit->status == 200);
    CHECK(hit->timeline.empty());
    CHECK(client.rate_limiter().snapshot().available == 0);
    world.clock.advance(10s - 1us);
    CHECK(client.get("/x"));
    world.clock.advance(1us);
    CHECK(error_of(client.get("/x")).is_refusal(Errc::circuit_open));
}

TEST_CASE("the answer's own lifetime goes before the client's, unless asked otherwise") {
    const World world;
    world.answers({ok("", {{"Cache-Control", "max-age=5"}}), ok(), ok("", {{"Cache-Control", "max-age=5"}}), ok(),
                   ok("", {{"Cache-Control", "no-cache"}}), ok()});
    const Client polite = world.client({.name = "a", .cache = {.ttl = 60s}});
    CHECK(is_kept(polite, world.service));
    world.clock.advance(5s);
    CHECK(polite.get("/x").value().source == Source::network);
    const Client strict = world.client({.name = "b", .cache = {.ttl = 60s, .lifetime = bw::CacheLifetime::ttl_always}});
    CHECK(is_kept(strict, world.service));
    world.clock.advance(59s);
    CHECK(strict.get("/x").value().source == Source::cache);
    world.clock.advance(1s);
    CHECK(strict.get("/x").value().source == Source::network);
    CHECK_FALSE(is_kept(world.client({.name = "c", .cache = {.ttl = 60s}}), world.service));
}

TEST_CASE("a call may bring its own lifetime or keep away from the cache") {
    const World world;
    world.answers({ok(), ok(), ok(), ok(), ok(), ok()});
    const Client without = world.client({.name = "a"});
    CHECK_FALSE(is_kept(without, world.service));
    CHECK(is_kept(without, world.service, {.cache_ttl = 5s}, {.cache_ttl = 5s}));
    const Client with = world.client({.name = "b", .cache = {.ttl = 60s}});
    CHECK(is_kept(with, world.service));
    CHECK(with.get("/x", {.cache_ttl = 0s}).value().source == Source::network);
    CHECK(with.get("/x", {.headers = {{"Cache-Control", "no-cache"}}}).value().source == Source::network);
    CHECK(with.get("/x").value().source == Source::cache);
}

TEST_CASE("only a 200 that may be shared with a later call is kept") {
    const std::vector<Response> not_kept = {ok("", {{"Cache-Control", "no-store"}}),
                                            ok("", {{"Set-Cookie", "a=b"}}),
                                            ok("", {{"Vary", "*"}}),
                                            answer(206),
                                            answer(301),
                                            answer(404)};
    for (const Response& response : not_kept) {
        const World world;
        world.answers({response, response});
        CHECK_FALSE(is_kept(world.client({.cache = {.ttl = 60s}}), world.service));
        CHECK(world.service.count() == 2);
    }
}

TEST_CASE("the cache tells apart what the answer varies on") {
    const World world;
    const bw::RequestOptions german{.headers = {{"Accept-Language", "de"}}};
    const bw::RequestOptions french{.headers = {{"Accept-Language", "fr"}}};
    world.answers({ok("de", {{"Vary", "accept-language"}}), ok("fr", {{"Vary", "accept-language"}})});
    const Client client = world.client({.cache = {.ttl = 60s}});
    CHECK(client.get("/x", german).value().body == "de");
    CHECK(client.get("/x", french).value().body == "fr");
    CHECK(client.get("/x", german).value().body == "de");
    CHECK(client.get("/x", french).value().source == Source::cache);
}

TEST_CASE("what one caller's credential was answered is not shown to another") {
    const World world;
    world.answers({ok("ann's"), ok("bob's"), ok("carl's"), ok("dora's")});
    const auto client = [&](bw::Auth auth) {
        return world.client({.name = "n", .auth = std::move(auth), .cache = {.ttl = 60s}});
    };
    CHECK(client(bw::Bearer{"ann"}).get("/x").value().body == "ann's");
    CHECK(client(bw::Bearer{"bob"}).get("/x").value().body == "bob's");
    CHECK(client(bw::HeaderAuth{"X-Api-Key", "carl"}).get("/x").value().body == "carl's");
    CHECK(client(bw::HeaderAuth{"X-Api-Key", "dora"}).get("/x").value().body == "dora's");
    CHECK(client(bw::Bearer{"ann"}).get("/x").value().body == "ann's");
    CHECK(client(bw::Bearer{"bob"}).get("/x", {.headers = {{"Authorization", "Bearer ann"}}}).value().body == "ann's");
    CHECK(world.service.count() == 4);
}

TEST_CASE("the cache tells apart methods and queries") {
    const World world;
    world.answers({ok("body"), ok(), ok("page 2")});
    const Client client = world.client({.cache = {.ttl = 60s}});
    CHECK(client.get("/x").value().body == "body");
    CHECK(client.head("/x").value().source == Source::network);
    CHECK(client.head("/x").value().source == Source::cache);
    CHECK(client.get("/x", {.query = {{"page", 2}}}).value().body == "page 2");
    CHECK(client.get("/x").value().body == "body");
}

TEST_CASE("a successful unsafe method on the URL makes the cache forget it, a failed one does not") {
    const World world;
    world.answers({ok("1"), answer(409), answer(204), ok("2")});
    const Client client = world.client({.cache = {.ttl = 60s}});
    CHECK(client.get("/x"));
    CHECK_FALSE(client.put("/x", {.body = "new"}));
    CHECK(client.get("/x").value().body == "1");
    CHECK(client.put("/x", {.body = "new"}));
    CHECK(client.get("/x").value().body == "2");
}

TEST_CASE("an unsafe method makes the cache forget also what was kept for single calls") {
    const World world;
    world.answers({ok("1"), answer(204), ok("2")});
    const Client client = world.client();
    CHECK(client.get("/x", {.cache_ttl = 60s}));
    CHECK(client.del("/x"));
    CHECK(client.get("/x", {.cache_ttl = 60s}).value().body == "2");
}

// --- Limits of endpoints ---

TEST_CASE("an endpoint is a method and a path with its numbers folded") {
    const World world;
    world.answers({ok(), ok(), ok(), ok()});
    const Client client =
        world.client({.rate_limit = {.per_endpoint = {.algorithm = bw::FixedWindow{.permits = 1, .window = 1min}}}});
    CHECK(client.get("/users/1"));
    CHECK(error_of(client.get("/users/2", {.query = {{"a", 1}}})).is_refusal(Errc::rate_limited));
    CHECK(client.get("/users"));
    CHECK(client.del("/users/1"));
    CHECK(client.get("/users/x7"));
    CHECK(error_of(client.get("/users/{id}", {.path = {{"id", 9}}})).is_refusal(Errc::rate_limited));
}

TEST_CASE("an endpoint may be what the user says, and a function that throws changes nothing") {
    const World world;
    world.answers({ok(), ok(), ok()});
    bool broken = false;
    const Client client = world.client(
        {.rate_limit = {.per_endpoint = {.algorithm = bw::FixedWindow{.permits = 1, .window = 1min},
                                         .key = [&](const bw::Request& request) -> std::string {
                                             if (broken) throw std::runtime_error{"no key"};
                                             return std::string{request.headers.get("X-Tenant").value_or("")};
                                         }}}});
    const bw::RequestOptions ann{.headers = {{"X-Tenant", "ann"}}};
    CHECK(client.get("/a", ann));
    CHECK_FALSE(client.get("/b", ann));
    CHECK(client.get("/b", {.headers = {{"X-Tenant", "bob"}}}));
    broken = true;
    CHECK(client.get("/c", ann));
    CHECK_FALSE(client.get("/c", ann));
}

TEST_CASE("endpoints beyond the bound share one limiter") {
    const World world;
    world.answers({ok(), ok(), ok()});
    const Client client =
        world.client({.rate_limit = {.per_endpoint = {.algorithm = bw::FixedWindow{.permits = 1, .window = 1min},
                                                      .max_endpoints = 2}}});
    CHECK(client.get("/a"));
    CHECK(client.get("/b"));
    CHECK(client.get("/c"));
    CHECK_FALSE(client.get("/d"));
    CHECK(client.snapshot()["endpoints"].size() == 2);
}

TEST_CASE("a call that its endpoint refuses takes no permit of the client's") {
    const World world;
    world.answers({ok(), ok()});
    const Client client =
        world.client({.rate_limit = {.algorithm = bw::FixedWindow{.permits = 2, .window = 1min},
                                     .per_endpoint = {.algorithm = bw::FixedWindow{.permits = 1, .window = 1min}}}});
    CHECK(client.get("/a"));
    CHECK_FALSE(client.get("/a"));
    CHECK_FALSE(client.get("/a"));
    CHECK(client.get("/b"));
    CHECK(error_of(client.get("/c")).policy() == "");
}

TEST_CASE("a Retry-After pauses the endpoint alone if endpoints are limited") {
    const World world;
    world.answers({answer(429, {{"Retry-After", "20"}}), ok()});
    const Client client =
        world.client({.rate_limit = {.per_endpoint = {.algorithm = bw::FixedWindow{.permits = 9, .window = 1min}}},
                      .retry = no_retries()});
    CHECK_FALSE(client.get("/a"));
    CHECK(error_of(client.get("/a")).retry_after() == bw::Duration{20s});
    CHECK(client.get("/b"));
}

// --- Redirects ---

TEST_CASE("a redirect within the origin is followed, with everything that was sent, for a permit of its own") {
    const World world;
    world.answers({answer(302, {{"Location", "/v1/new?x=1"}}), ok("there")});
    const Client client = world.client(
        {.auth = bw::Bearer{"t"}, .rate_limit = {.algorithm = bw::FixedWindow{.permits = 10, .window = 1min}}});
    const auto result = client.get("/old");
    REQUIRE(result);
    CHECK(result->body == "there");
    CHECK(result->url == "http://api.test/v1/new?x=1");
    CHECK(result->timeline.size() == 1);
    CHECK(world.service.requests()[1].headers.get("Authorization") == "Bearer t");
    CHECK(client.rate_limiter().snapshot().available == 8);
}

TEST_CASE("a redirect that has no permit left ends the call with the limit's refusal") {
    const World world;
    world.answers({answer(302, {{"Location", "/new"}}), ok()});
    const Client client = world.client({.rate_limit = {.algorithm = bw::FixedWindow{.permits = 1, .window = 1min}}});
    CHECK(error_of(client.get("/old")).is_refusal(Errc::rate_limited));
    CHECK(world.service.count() == 1);
}

TEST_CASE("a redirect that its endpoint has no permit for takes none of the client's") {
    const World world;
    world.answers({answer(302, {{"Location", "/v1/a?again"}}), ok()});
    const bw::FixedWindow ten{.permits = 10, .window = 1min};
    const bw::FixedWindow one{.permits = 1, .window = 1min};
    const Client client = world.client({.rate_limit = {.algorithm = ten, .per_endpoint = {.algorithm = one}}});
    CHECK(error_of(client.get("/a")).is_refusal(Errc::rate_limited));
    CHECK(world.service.count() == 1);
    CHECK(client.rate_limiter().snapshot().available == 9);
}

TEST_CASE("at most five redirects are followed, and none if none are wanted") {
    const auto loop = answer(302, {{"Location", "/v1/x"}});
    const World world;
    world.answers({7, bw::ScriptedAnswer{loop}});
    const Error error = error_of(world.client().get("/x"));
    CHECK(error.code() == Errc::too_many_redirects);
    CHECK(error.status() == 302);
    REQUIRE(error.response() != nullptr);
    CHECK(world.service.count() == 6);
    CHECK(world.client({.redirects = {.max = 0}}).get("/x").value().status == 302);
}

TEST_CASE("only GET and HEAD follow redirects") {
    const World world;
    world.answers({answer(307, {{"Location", "/v1/new"}}), answer(303, {{"Location", "/v1/new"}}),
                   answer(301, {{"Location", "/v1/new"}}), ok()});
    const Client client = world.client();
    CHECK(client.post("/old").value().status == 307);
    CHECK(client.put("/old").value().status == 303);
    CHECK(client.head("/old").value().status == 200);
    CHECK(world.service.count() == 4);
}

TEST_CASE("another origin is followed only if asked, and gets only Accept and User-Agent") {
    const auto away = answer(302, {{"Location", "http://other.test/x"}});
    const World world;
    world.answers({away, away, ok("there")});
    bw::ClientOptions options{.headers = {{"X-Tenant", "t"}, {"Accept", "text/plain"}, {"Cookie", "c=1"}},
                              .auth = bw::HeaderAuth{"X-Api-Key", "secret"},
                              .circuit_breaker = {.trip = bw::ConsecutiveFailures{1}}};
    const Client strict = world.client(options);
    CHECK(error_of(strict.get("/x")).code() == Errc::redirect_refused);
    CHECK(strict.circuit_breaker().state() == bw::CircuitState::closed);
    CHECK(world.service.count() == 1);

    options.redirects.cross_origin = true;
    CHECK(world.client(options).get("/x").value().body == "there");
    const bw::Request hop = world.service.requests().back();
    CHECK(hop.url == "http://other.test/x");
    CHECK(hop.headers.size() == 2);
    CHECK(hop.headers.get("Accept") == "text/plain");
    CHECK(hop.headers.contains("User-Agent"));
}

TEST_CASE("no redirect leads from https to http") {
    const World world;
    world.answers({answer(302, {{"Location", "http://api.test/x"}})});
    const Client client = world.client({.base_url = "https://api.test", .redirects = {.cross_origin = true}});
    CHECK(error_of(client.get("/x")).code() == Errc::redirect_refused);
    CHECK(world.service.count() == 1);
}

TEST_CASE("redirects of one attempt share its time") {
    const World world;
    world.answers({{answer(302, {{"Location", "/v1/b"}}), 3s}, {ok(), 1s}});
    CHECK(world.client({.timeouts = {.attempt = 10s}}).get("/a"));
    CHECK(world.service.exchanges()[0].options.timeout == 10s);
    CHECK(world.service.exchanges()[1].options.timeout == 7s);
}

// --- Time ---

TEST_CASE("an attempt that takes too long is a timeout, one cut by the deadline says so") {
    const World world;
    world.answers({{ok(), 1min}, {ok(), 1min}});
    const Client client = world.client({.retry = no_retries()});
    const Error late = error_of(client.get("/x"));
    CHECK(late.code() == Errc::attempt_timeout);
    CHECK(late.timeline().at(0).took == 10s);
    const Error cut = error_of(client.get("/x", {.deadline = 4s}));
    CHECK(cut.code() == Errc::deadline_exceeded);
    CHECK(cut.timeline().at(0).took == 4s);
    CHECK(cut.timeline().at(0).error == Errc::deadline_exceeded);
}

TEST_CASE("a call may have a timeout and a deadline of its own") {
    const World world;
    world.answers({ok(), ok(), ok()});
    const Client client = world.client({.timeouts = {.attempt = 10s, .connect = 2s, .deadline = 12s}});
    CHECK(client.get("/x"));
    CHECK(client.get("/x", {.timeout = 500ms}));
    CHECK(client.get("/x", {.timeout = 20s, .deadline = 15s}));
    const auto sent = world.service.exchanges();
    CHECK(sent[0].options.timeout == 10s);
    CHECK(sent[0].options.connect_timeout == 2s);
    CHECK(sent[1].options.timeout == 500ms);
    CHECK(sent[2].options.timeout == 15s);
    CHECK(error_of(client.get("/x", {.timeout = 0s})).code() == Errc::invalid_request);
    CHECK(error_of(client.get("/x", {.deadline = -1s})).code() == Errc::invalid_request);
}

TEST_CASE("a retry that would pass the deadline is not waited for") {
    const World world;
    world.answers({{answer(503), 2s}, ok()});
    const Error error = error_of(world.client().get("/x", {.deadline = 3s}));
    CHECK(error.status() == 503);
    CHECK(error.stopped_by() == Errc::deadline_exceeded);
    CHECK(error.attempts() == 1);
    CHECK(world.clock.waits().empty());
}

TEST_CASE("a hung service opens the circuit, a hurried caller does not") {
    const World world;
    world.answers({{ok(), 1min}, {ok(), 1min}, {ok(), 1min}});
    const Client client =
        world.client({.circuit_breaker = {.trip = bw::ConsecutiveFailures{1}}, .retry = no_retries()});
    CHECK_FALSE(client.get("/x", {.deadline = 999ms}));
    CHECK(client.circuit_breaker().state() == bw::CircuitState::closed);
    CHECK_FALSE(client.get("/x", {.deadline = 1s}));
    CHECK(client.circuit_breaker().state() == bw::CircuitState::open);
}

TEST_CASE("a stop request ends a call before it is sent and while it waits") {
    const World world;
    std::stop_source source;
    world.answers({[&](const bw::Request&) -> bw::Result<Response> {
                       source.request_stop();
                       return answer(503);
                   },
                   ok()});
    const Client client = world.client();
    const Error waiting = error_of(client.get("/x", {.stop = source.get_token()}));
    CHECK(waiting.code() == Errc::cancelled);
    CHECK(waiting.attempts() == 1);
    const Error before = error_of(client.get("/x", {.stop = source.get_token()}));
    CHECK(before.code() == Errc::cancelled);
    CHECK(before.attempts() == 0);
    CHECK(world.service.count() == 1);
}

// --- Requests ---

TEST_CASE("a target that could lead elsewhere is refused and never sent") {
    const World world;
    const Client client = world.client();
    for (const char* target : {"",
                               "x",
                               "@evil.test/x",
                               ":80@evil.test/x",
                               ".evil.test/x",
                               "//evil.test",
                               "//evil.test/x",
                               "///x",
                               "http://evil.test/x",
                               "https://api.test/v1/x",
                               "http://api.test:81/x",
                               "http://user@api.test/x",
                               "/a//b",
                               "/../x",
                               "/a/./b",
                               "/%2e%2e/x",
                               "/a/..",
                               "/x\r\nHost: evil.test",
                               "/x#part",
                               "/a\\b",
                               "file:///etc/passwd"}) {
        INFO(target);
        const Error error = error_of(client.get(target));
        CHECK(error.code() == Errc::invalid_request);
        CHECK(error.sent() == bw::Sent::no);
    }
    CHECK(error_of(client.get(std::string_view{"/x\0y", 4})).code() == Errc::invalid_request);
    CHECK(world.service.count() == 0);
}

TEST_CASE("a target is appended to the base URL, parameters are escaped") {
    const World world;
    world.answers({6, bw::ScriptedAnswer{ok()}});
    const Client client = world.client({.base_url = "http://api.test/v1/"});
    CHECK(client.get("/inventory"));
    CHECK(world.last_url() == "http://api.test/v1/inventory");
    CHECK(client.get("/inventory", {.query = {{"q", "a b&c=d"}, {"page", 2}}}));
    CHECK(world.last_url() == "http://api.test/v1/inventory?q=a%20b%26c%3Dd&page=2");
    CHECK(client.get("/users/{id}/x", {.path = {{"id", "a/b?"}}}));
    CHECK(world.last_url() == "http://api.test/v1/users/a%2Fb%3F/x");
    CHECK(client.get("http://API.test:80/other?page=3"));
    CHECK(world.last_url() == "http://api.test/other?page=3");
    CHECK(client.get("/naïve.txt"));
    CHECK(world.last_url() == "http://api.test/v1/na%C3%AFve.txt");
}

TEST_CASE("without a base URL every target is an absolute URL") {
    const World world;
    world.answers({ok()});
    const Client client{bw::ClientOptions{}, world.service, world.store};
    CHECK(client.get("http://any.test/x"));
    CHECK(world.last_url() == "http://any.test/x");
    CHECK_THAT(error_of(client.get("/x")).message(), ContainsSubstring("the client has no base_url"));
    CHECK(error_of(client.get("http://u:p@any.test/x")).code() == Errc::invalid_request);
}

TEST_CASE("headers of the call replace the client's of the same name") {
    const World world;
    world.answers({ok(), ok(), ok()});
    const Client client =
        world.client({.headers = {{"X-A", "1"}, {"X-B", "1"}}, .auth = bw::Basic{"ann", "pass:word"}});
    CHECK(client.get("/x"));
    CHECK(client.get("/x", {.headers = {{"x-a", "2"}, {"x-a", "3"}, {"User-Agent", "mine"}}}));
    CHECK(client.send({.url = "/x", .headers = {{"X-B", "own"}, {"Authorization", "none"}}}));
    const auto sent = world.service.requests();
    CHECK(sent[0].headers.get("User-Agent") == "breakwater/" BREAKWATER_VERSION_STRING);
    CHECK(sent[0].headers.get("Authorization") == "Basic YW5uOnBhc3M6d29yZA==");
    CHECK(sent[1].headers.get_all("X-A") == std::vector<std::string_view>{"2", "3"});
    CHECK(sent[1].headers.get_all("X-B") == std::vector<std::string_view>{"1"});
    CHECK(sent[1].headers.get_all("User-Agent") == std::vector<std::string_view>{"mine"});
    CHECK(sent[2].headers.get_all("X-B") == std::vector<std::string_view>{"own"});
    CHECK(sent[2].headers.get_all("Authorization") == std::vector<std::string_view>{"none"});
}

TEST_CASE("a body is JSON or bytes, not both") {
    const World world;
    world.answers({ok(), ok(), ok(), ok()});
    const Client client = world.client();
    CHECK(client.post("/x", {.json = {{"sku", "VAN-001"}, {"qty", 100}}}));
    CHECK(client.post("/x", {.body = "raw"}));
    CHECK(client.post("/x", {.headers = {{"Content-Type", "application/merge-patch+json"}}, .json = nullptr}));
    CHECK(client.post("/x"));
    const auto sent = world.service.requests();
    CHECK(sent[0].body == R"({"qty":100,"sku":"VAN-001"})");
    CHECK(sent[0].headers.get("Content-Type") == "application/json");
    CHECK(sent[1].body == "raw");
    CHECK_FALSE(sent[1].headers.contains("Content-Type"));
    CHECK(sent[2].body == "null");
    CHECK(sent[2].headers.get_all("Content-Type").size() == 1);
    CHECK_FALSE(sent[3].body);
    const Error both = error_of(client.post("/x", {.json = {{"a", 1}}, .body = "b"}));
    CHECK(both.code() == Errc::invalid_request);
    CHECK(world.service.count() == 4);
}

TEST_CASE("headers that cannot be sent are refused without being repeated") {
    const World world;
    const Client client = world.client();
    for (const bw::RequestOptions& options :
         {bw::RequestOptions{.headers = {{"X-A", "hush\r\nX-B: 1"}}}, bw::RequestOptions{.headers = {{"X A", "hush"}}},
          bw::RequestOptions{.idempotency_key = "hush\n"}}) {
        const Error error = error_of(client.get("/x", options));
        CHECK(error.code() == Errc::invalid_request);
        CHECK(error.message().find("hush") == std::string::npos);
    }
    CHECK(error_of(client.get("/x", {.idempotency_key = ""})).code() == Errc::invalid_request);
    CHECK(error_of(client.send({.method = Method{"BAD METHOD"}, .url = "/x"})).code() == Errc::invalid_request);
    CHECK(world.service.count() == 0);
}

// --- What is told ---

TEST_CASE("the timeline tells every attempt: when, how long, how it ended, and the wait after it") {
    const World world;
    world.answers({{Error{Errc::connect_failed}, 5ms}, {answer(503), 20ms}, {ok(), 7ms}});
    const auto result = world.client().get("/x");
    REQUIRE(result);
    CHECK(result->timeline ==
          bw::Timeline{
              {.number = 1, .began = 0ms, .took = 5ms, .error = Errc::connect_failed, .status = {}, .wait = 1s},
              {.number = 2, .began = 1005ms, .took = 20ms, .error = Errc::http_status, .status = 503, .wait = 1s},
              {.number = 3, .began = 2025ms, .took = 7ms, .error = {}, .status = 200, .wait = {}}});
    world.answers({{answer(404), 3ms}});
    CHECK(
        error_of(world.client().get("/y")).timeline() ==
        bw::Timeline{{.number = 1, .began = 0ms, .took = 3ms, .error = Errc::http_status, .status = 404, .wait = {}}});
}

TEST_CASE("an error prints as one line without query or secret") {
    const World world;
    world.answers({4, bw::ScriptedAnswer{answer(503, {{"X", "hush"}}, "hush\nhush")}});
    const Client client = world.client({.headers = {{"X-Key", "hush"}}, .auth = bw::Bearer{"hush"}});
    const Error error = error_of(client.get("/users/{id}", {.query = {{"token", "hush"}}, .path = {{"id", "hush"}}}));
    std::ostringstream out;
    out << error;
    CHECK(out.str() == "GET /users/{id}: status 503: *** ***, after 4 attempts");
    world.answers({Error{Errc::tls_failed, "bad\nline\x1b[2J"}});
    const std::string line = error_of(world.client({.retry = no_retries()}).get("/x?token=hush")).message();
    CHECK(line == "GET /x: the TLS handshake failed: bad line [2J");
    CHECK(error_of(client.get("http://ann:hush@api.test/x")).message().find("hush") == std::string::npos);
}

TEST_CASE("the snapshot is JSON of a version, without a secret, and changes nothing") {
    const World world;
    world.answers({answer(500)});
    const Client client =
        world.client({.name = "dairy",
                      .auth = bw::Bearer{"hush"},
                      .circuit_breaker = {.trip = bw::ConsecutiveFailures{1}, .recovery_timeout = 30s},
                      .rate_limit = {.algorithm = bw::FixedWindow{.permits = 5, .window = 24h}},
                      .retry = no_retries()});
    CHECK(client.snapshot()["circuit"]["state"] == "closed");
    CHECK_FALSE(client.get("/x"));
    const nlohmann::json seen = client.snapshot();
    CHECK(seen["version"] == 1);
    CHECK(seen["name"] == "dairy");
    CHECK(seen["circuit"]["name"] == "dairy");
    CHECK(seen["circuit"]["state"] == "open");
    CHECK(seen["circuit"]["retry_after_ms"] == 30'000.0);
    CHECK(seen["rate_limit"]["available"] == 4);
    CHECK(seen["endpoints"] == nlohmann::json::object());
    CHECK(seen.dump().find("hush") == std::string::npos);
    CHECK(client.snapshot() == seen);
    CHECK(world.client({.name = "free"}).snapshot()["rate_limit"]["available"] == nullptr);
}

TEST_CASE("copies, and clients of one store and name, share circuit, limits and cache") {
    const World world;
    world.answers({answer(500), ok()});
    const bw::ClientOptions options{.name = "dairy",
                                    .circuit_breaker = {.trip = bw::ConsecutiveFailures{1}},
                                    .rate_limit = {.algorithm = bw::FixedWindow{.permits = 5, .window = 24h}},
                                    .retry = no_retries(),
                                    .cache = {.ttl = 1h}};
    const Client one = world.client(options);
    const Client copy = one;
    const Client two = world.client(options);
    CHECK_FALSE(one.get("/x"));
    CHECK(copy.circuit_breaker().state() == bw::CircuitState::open);
    CHECK(error_of(two.get("/x")).is_refusal(Errc::circuit_open));
    CHECK(two.rate_limiter().snapshot().available == 4);
    world.clock.advance(60s);
    CHECK(two.get("/x"));
    CHECK(one.circuit_breaker().state() == bw::CircuitState::closed);
    CHECK(one.get("/x").value().source == Source::cache);

    const Client elsewhere{bw::ClientOptions{options}, world.service, Store{world.clock}};
    CHECK(elsewhere.rate_limiter().snapshot().available == 5);
}

TEST_CASE("clients without a name share neither circuit nor limits") {
    const World world;
    world.answers({answer(500), ok()});
    const bw::ClientOptions options{.circuit_breaker = {.trip = bw::ConsecutiveFailures{1}}, .retry = no_retries()};
    const Client one = world.client(options);
    const Client two = world.client(options);
    CHECK_FALSE(one.get("/x"));
    CHECK(two.get("/x"));
}

TEST_CASE("bad options are refused when the client is made") {
    const World world;
    const bw::ClientOptions bad[] = {{.circuit_breaker = {.recovery_timeout = -5s}},
                                     {.base_url = "http://h/a/../b"},
                                     {.auth = bw::Bearer{"two\nlines"}}};
    for (const bw::ClientOptions& options : bad) {
        CHECK_THROWS_AS((Client{options, world.service, world.store}), bw::Exception);
        const auto made = Client::make(options, world.service, world.store);
        REQUIRE_FALSE(made);
        CHECK(made.error().code() == Errc::invalid_options);
    }
    CHECK(Client::make({.base_url = "http://h"}, world.service, world.store));
}

TEST_CASE("an observer that throws or calls the client again breaks nothing") {
    const World world;
    world.answers({answer(503), ok(), ok()});
    std::optional<Client> client;
    int told = 0;
    client.emplace(world.client({.observer = bw::Observer{[&](const bw::Event& event) {
                                     ++told;
                                     if (event.kind == bw::EventKind::call_ended && event.attempt == 2)
                                         (void)client->get("/y");
                                     throw std::runtime_error{"observer"};
                                 }}}));
    CHECK(client->get("/x"));
    CHECK(told > 5);
    CHECK(world.service.left() == 0);
}

TEST_CASE("an answer that is too large is an error, and the bound is the client's") {
    const World world;
    world.answers({ok(std::string(11, 'x')), ok(std::string(10, 'x'))});
    const Client client = world.client({.max_response_bytes = 10});
    CHECK(error_of(client.get("/x")).code() == Errc::too_large);
    CHECK(client.get("/x"));
    CHECK(world.service.count() == 2);
}

// --- The retry budget ---

TEST_CASE("clients of one name share a retry budget, which is on by default") {
    const World world;
    world.answers(std::vector<bw::ScriptedAnswer>(40, answer(503)));
    const auto options = [](std::string name) {
        bw::ClientOptions made;
        made.name = std::move(name);
        made.circuit_breaker.trip = bw::Never{};
        made.retry_budget = {.ratio = 0.001, .floor_per_second = 0, .burst = 4};
        return made;
    };
    const auto attempts = [](const Client& client) { return error_of(client.get("/x")).attempts(); };
    CHECK(bw::ClientOptions{}.retry_budget.ratio == 0.2);
    CHECK(attempts(world.client(options("dairy"))) == 4);
    const Client client = world.client(options("dairy"));
    CHECK(client.snapshot()["retry_budget"] == nlohmann::json{{"name", "dairy"}, {"available", 1}});
    const Error error = error_of(client.get("/x"));
    CHECK(error.attempts() == 2);
    CHECK(error.status() == 503);
    CHECK(error.stopped_by() == Errc::budget_exhausted);
    CHECK(attempts(world.client(options("bakery"))) == 4);
}

TEST_CASE("a client without a retry budget retries as often as it may") {
    const World world;
    world.answers(std::vector<bw::ScriptedAnswer>(100, answer(503)));
    bw::ClientOptions options;
    options.circuit_breaker.trip = bw::Never{};
    options.retry_budget.ratio = std::nullopt;
    options.retry_budget.burst = 1;
    const Client client = world.client(std::move(options));
    for (int call = 0; call < 20; ++call) CHECK(error_of(client.get("/x")).attempts() == 4);
    CHECK(client.snapshot()["retry_budget"]["available"].is_null());
}
