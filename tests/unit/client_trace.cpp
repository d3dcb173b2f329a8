#include <unit/scripted_client.hpp>

#include <breakwater/client/from_json.hpp>
#include <breakwater/observe/span_attributes.hpp>
#include <breakwater/task/start.hpp>

#include <catch_shim.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::EventKind;
using bw::Sampled;
using bw::TraceContext;

namespace {

const std::string trace_id = "0af7651916cd43dd8448eb211c80319c";
const std::string parent_id = "b7ad6b7169203331";
const TraceContext trace =
    *TraceContext::parse("00-" + trace_id + "-" + parent_id + "-01", "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE");

/// What is kept of an event.
struct Told {
    explicit Told(const bw::Event& event)
        : kind{event.kind},
          url{event.url},
          trace{event.trace_id},
          span{event.span_id},
          parent{event.parent_span_id},
          is_sampled{event.is_sampled},
          attributes{bw::span_attributes(event)} {}
    bw::EventKind kind;
    std::string url, trace, span, parent;
    bool is_sampled;
    std::vector<bw::SpanAttribute> attributes;
};

/// A client and what it tells and sends.
struct World {
    explicit World(std::vector<bw::ScriptedAnswer> answers, bw::ClientOptions options = {})
        : service{std::move(answers)}, client{watched(std::move(options)), service, test::ScriptedStore{clock}} {}

    bw::ClientOptions watched(bw::ClientOptions options) {
        options.name = "dairy";
        options.base_url = "http://dairy.test";
        options.observer = [this](const bw::Event& event) { told.emplace_back(event); };
        return options;
    }
    /// The `traceparent` of each request, or "none".
    std::vector<std::string> sent() const {
        std::vector<std::string> all;
        for (const bw::Request& request : service.requests())
            all.emplace_back(request.headers.get("traceparent").value_or("none"));
        return all;
    }
    std::vector<Told> of(EventKind kind) const {
        std::vector<Told> all;
        for (const Told& one : told)
            if (one.kind == kind) all.push_back(one);
        return all;
    }

    std::vector<Told> told{};
    bw::ManualClock clock;
    bw::ScriptedTransport service;
    test::ScriptedClient client;
};

bw::Response answer(int status, bw::Headers headers = {}) {
    return bw::Response{.status = status, .headers = std::move(headers)};
}
std::string span_of(std::string_view traceparent) { return std::string{traceparent.substr(36, 16)}; }

/// "name=value" of each.
std::string text(const std::vector<bw::SpanAttribute>& attributes) {
    std::ostringstream out;
    for (const auto& [name, value] : attributes) {
        out << name << '=';
        std::visit([&](const auto& own) { out << own; }, value);
        out << ' ';
    }
    return out.str();
}

}  // namespace

TEST_CASE("each attempt is sent as a child span of its own, and its events name it") {
    World world{{answer(503), bw::Error{bw::Errc::receive_failed}, answer(200)}};
    REQUIRE(world.client.get("/inventory", {.trace = trace}));
    const auto sent = world.sent();
    REQUIRE(sent.size() == 3);
    std::set<std::string> spans{parent_id};
    for (const std::string& one : sent) {
        CHECK(one.starts_with("00-" + trace_id + "-"));
        CHECK(one.ends_with("-01"));
        spans.insert(span_of(one));
    }
    CHECK(spans.size() == 4);
    for (const bw::Request& request : world.service.requests())
        CHECK(request.headers.get_all("tracestate") ==
              std::vector<std::string_view>{"rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"});

    for (const EventKind kind : {EventKind::attempt_started, EventKind::attempt_ended}) {
        const auto told = world.of(kind);
        REQUIRE(told.size() == 3);
        for (std::size_t i = 0; i < 3; ++i) {
            CHECK(told[i].trace == trace_id);
            CHECK(told[i].span == span_of(sent[i]));
            CHECK(told[i].parent == parent_id);
            CHECK(told[i].is_sampled);
        }
    }
    CHECK(world.of(EventKind::call_ended).front().trace == trace_id);
    CHECK(world.of(EventKind::call_ended).front().span.empty());
    CHECK(world.of(EventKind::retry_scheduled).front().trace == trace_id);
}

TEST_CASE("the same trace sends other spans in every call") {
    World world{{answer(200), answer(200)}};
    REQUIRE(world.client.get("/a", {.trace = trace}));
    REQUIRE(world.client.get("/a", {.trace = trace}));
    CHECK(world.sent()[0] != world.sent()[1]);
}

TEST_CASE("a call is part of no trace unless it is asked for") {
    World world{{answer(200)}};
    REQUIRE(world.client.get("/inventory"));
    CHECK(world.sent() == std::vector<std::string>{"none"});
    CHECK_FALSE(world.service.requests().front().headers.contains("tracestate"));
    for (const Told& told : world.told) CHECK((told.trace + told.span + told.parent).empty());
    CHECK(world.of(EventKind::attempt_ended).front().url == "http://dairy.test/inventory");
}

TEST_CASE("a client begins a trace for each call that has none, if it is told to") {
    const Sampled sampled = GENERATE(Sampled::yes, Sampled::no);
    World world{{answer(503), answer(200), answer(200), answer(200)}, {.begin_trace = sampled}};
    REQUIRE(world.client.get("/a"));
    REQUIRE(world.client.get("/b"));
    REQUIRE(world.client.get("/c", {.trace = trace}));
    const auto sent = world.sent();
    const auto id = [&](std::size_t i) { return sent[i].substr(3, 32); };
    CHECK(id(0) == id(1));
    CHECK(span_of(sent[0]) != span_of(sent[1]));
    CHECK(id(1) != id(2));
    CHECK(id(3) == trace_id);
    CHECK(sent[0].ends_with(sampled == Sampled::yes ? "-03" : "-02"));
    const auto ended = world.of(EventKind::attempt_ended);
    CHECK(ended[0].span == span_of(sent[0]));
    CHECK(ended[0].parent.empty());
    CHECK(ended[0].is_sampled == (sampled == Sampled::yes));
    CHECK(ended[3].parent == parent_id);
}

TEST_CASE("a traceparent given by hand stands, unless the call has a trace") {
    World world{{answer(200), answer(200)}, {.begin_trace = Sampled::yes}};
    REQUIRE(world.client.get("/a", {.headers = {{"TraceParent", "mine"}, {"tracestate", "mine=1"}}}));
    REQUIRE(world.client.get("/a", {.headers = {{"TraceParent", "mine"}, {"tracestate", "mine=1"}}, .trace = trace}));
    CHECK(world.sent()[0] == "mine");
    CHECK(world.told.front().trace.empty());
    CHECK(world.sent()[1].starts_with("00-" + trace_id));
    CHECK(world.service.requests()[1].headers.get_all("traceparent").size() == 1);
    CHECK(world.service.requests()[1].headers.get("tracestate") == trace.tracestate());
}

TEST_CASE("an anonymous call tells of the caller's trace, but the client begins none for it") {
    World world{{answer(200), answer(200)}, {.begin_trace = Sampled::yes}};
    REQUIRE(world.client.get("http://other.test/a", {.anonymous = true}));
    REQUIRE(world.client.get("http://other.test/a", {.trace = trace, .anonymous = true}));
    CHECK(world.sent()[0] == "none");
    CHECK(world.sent()[1].starts_with("00-" + trace_id));
}

TEST_CASE("a redirect within the origin is a span of its own, and its event tells which one has ended") {
    World world{{answer(302, {{"Location", "/there"}}), answer(200)}};
    REQUIRE(world.client.get("/here?secret=1", {.trace = trace}));
    const auto sent = world.sent();
    REQUIRE(sent.size() == 2);
    CHECK(sent[1].starts_with("00-" + trace_id));
    CHECK(span_of(sent[0]) != span_of(sent[1]));
    CHECK(world.service.requests()[1].headers.get("tracestate") == trace.tracestate());
    const auto redirected = world.of(EventKind::redirected);
    REQUIRE(redirected.size() == 1);
    CHECK(redirected[0].span == span_of(sent[0]));
    CHECK(redirected[0].url == "http://dairy.test/here");
    const auto ended = world.of(EventKind::attempt_ended);
    CHECK(ended[0].span == span_of(sent[1]));
    CHECK(ended[0].url == "http://dairy.test/there");
    CHECK(ended[0].parent == parent_id);
}

TEST_CASE("no other origin is told of the trace, nor is who is redirected to by one") {
    World world{{answer(302, {{"Location", "http://other.test/a"}}), answer(302, {{"Location", "http://dairy.test/b"}}),
                 answer(503), answer(200)},
                {.redirects = {.cross_origin = true}}};
    REQUIRE(world.client.get("/a", {.trace = trace}));
    const auto sent = world.sent();
    REQUIRE(sent.size() == 4);
    CHECK(sent[0].starts_with("00-" + trace_id));
    CHECK(sent[1] == "none");
    CHECK(sent[2] == "none");
    CHECK(sent[3].starts_with("00-" + trace_id));  // another attempt begins at the client's own origin
    CHECK_FALSE(world.service.requests()[1].headers.contains("tracestate"));
    const auto started = world.of(EventKind::attempt_started);
    CHECK(started[1].url == "http://dairy.test/a");
}

TEST_CASE("a trace keeps no call from the cache, nor from sharing another's answer") {
    World world{{answer(200, {{"Cache-Control", "max-age=60"}})}, {.cache = {.ttl = 60s}}};
    REQUIRE(world.client.get("/a", {.trace = trace}));
    const auto again = world.client.get("/a", {.trace = TraceContext::begin(Sampled::no)});
    REQUIRE(again);
    CHECK(again->source == bw::Source::cache);
}

TEST_CASE("a URL in an event has no query, and no path that tells a secret") {
    World world{{answer(200), answer(200)}, {.auth = bw::Bearer{"hunter2hunter2"}}};
    REQUIRE(world.client.get("/a", {.query = {{"token", "t-123"}}}));
    REQUIRE(world.client.get("/by/{key}", {.path = {{"key", "hunter2hunter2"}}}));
    const auto ended = world.of(EventKind::attempt_ended);
    CHECK(ended[0].url == "http://dairy.test/a");
    CHECK(ended[1].url == "http://dairy.test");
}

TEST_CASE("an attempt's events give the attributes of OpenTelemetry's HTTP conventions") {
    World world{{answer(302, {{"Location", "/b"}}), answer(503), bw::Error{bw::Errc::connect_failed}, answer(200)}};
    REQUIRE(world.client.get("/a"));
    const std::string server = "http.request.method=GET server.address=dairy.test server.port=80 ";
    CHECK(text(world.of(EventKind::attempt_started)[0].attributes) == server + "url.full=http://dairy.test/a ");
    CHECK(text(world.of(EventKind::redirected)[0].attributes) ==
          server + "url.full=http://dairy.test/a http.response.status_code=302 ");
    const auto ended = world.of(EventKind::attempt_ended);
    CHECK(text(ended[0].attributes) == server +
                                           "url.full=http://dairy.test/b http.request.resend_count=1 "
                                           "http.response.status_code=503 error.type=503 ");
    CHECK(text(ended[1].attributes) ==
          server + "url.full=http://dairy.test/a http.request.resend_count=2 error.type=connect_failed ");
    CHECK(text(ended[2].attributes) ==
          server + "url.full=http://dairy.test/a http.request.resend_count=3 http.response.status_code=200 ");
    CHECK(std::holds_alternative<std::int64_t>(ended[2].attributes.back().second));
    CHECK(text(world.of(EventKind::call_ended)[0].attributes).empty());
    CHECK(text(world.of(EventKind::retry_scheduled)[0].attributes).empty());
}

TEST_CASE("attributes tell odd methods and addresses as the conventions want them, and a cancelled call as no error") {
    CHECK(text(bw::span_attributes(
              {.kind = EventKind::attempt_ended, .subject = "PURGE /a", .url = "https://[::1]:8443/a"})) ==
          "http.request.method=_OTHER http.request.method_original=PURGE server.address=::1 server.port=8443 "
          "url.full=https://[::1]:8443/a ");
    CHECK(text(bw::span_attributes({.kind = EventKind::attempt_ended,
                                    .subject = "GET /a",
                                    .code = bw::Errc::cancelled,
                                    .url = "https://a.test/a"})) ==
          "http.request.method=GET server.address=a.test server.port=443 url.full=https://a.test/a ");
    CHECK(bw::span_attributes({.kind = EventKind::circuit_opened}).empty());
}

TEST_CASE("nobody has to watch for a trace to be sent") {
    const bw::ScriptedTransport service{answer(503), answer(302, {{"Location", "/b"}}), answer(200)};
    const test::ScriptedClient client{
        {.name = "dairy", .base_url = "http://dairy.test"}, service, test::ScriptedStore{bw::ManualClock{}}};
    REQUIRE(client.get("/a", {.trace = trace}));
    std::set<std::string_view> all;
    const auto requests = service.requests();
    for (const bw::Request& request : requests) all.insert(request.headers.get("traceparent").value());
    CHECK(all.size() == 3);
}

TEST_CASE("an asynchronous call is traced likewise, by a copy of what it was given") {
    World world{{answer(503), answer(200)}};
    std::optional<bw::Task<bw::Result<bw::Response>>> call;
    {
        const TraceContext own = trace;
        call.emplace(world.client.async_get("/a", {.trace = own}));
    }
    REQUIRE(bw::sync_wait(*std::move(call)));
    CHECK(world.sent()[0].starts_with("00-" + trace_id));
    CHECK(world.of(EventKind::attempt_ended)[1].span == span_of(world.sent()[1]));
}

TEST_CASE("whether a client begins traces is read from JSON") {
    using nlohmann::json;
    CHECK_FALSE(bw::client_options_from_json(json::object())->begin_trace);
    CHECK(bw::client_options_from_json({{"begin_trace", "sampled"}})->begin_trace == Sampled::yes);
    CHECK(bw::client_options_from_json({{"begin_trace", "unsampled"}})->begin_trace == Sampled::no);
    CHECK(bw::client_options_from_json({{"begin_trace", true}}).error().detail() ==
          R"(begin_trace: must be one of "sampled", "unsampled", got true)");
}
