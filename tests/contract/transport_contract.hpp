#pragma once

#include <breakwater/transport/transport.hpp>

#include <catch_shim.hpp>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace breakwater::test {

/// A service for the contract and a transport that reaches it.
///
/// `answer_with(response)` sets the answer to every later request (status, headers, body); `seen()` are the requests
/// that have reached the service so far, with the method, the headers sent and the body (the URL may be the target
/// only).
template <class W>
concept TransportWorld = requires(W& world, const Response& response, std::string_view target) {
    { world.transport() } -> Transport;
    { world.url(target) } -> std::convertible_to<std::string>;
    world.answer_with(response);
    { world.seen() } -> std::same_as<std::vector<Request>>;
};

/// What every transport must do. Call it in a TEST_CASE; `make_world()` returns a pointer to a fresh world.
template <class MakeWorld>
void check_transport_contract(MakeWorld&& make_world) {
    auto owner = make_world();
    TransportWorld auto& world = *owner;
    const Transport auto transport = world.transport();
    const Request get{.url = world.url("/items?page=1")};

    SECTION("an answer with any final status is a success, whole") {
        for (const int status : {200, 204, 301, 304, 404, 429, 500, 503, 599}) {
            const bool has_body = status != 204 && status != 304;
            Response wanted{.status = status, .headers = {{"X-First", "1"}, {"X-Twice", "a"}, {"x-twice", "b"}}};
            if (has_body) wanted.body = "body of " + std::to_string(status);
            world.answer_with(wanted);
            const Result<Response> answer = transport.send(get, {});
            REQUIRE(answer);
            CHECK(answer->status == status);
            CHECK(answer->header("x-first") == "1");
            CHECK(answer->headers.get_all("X-Twice") == std::vector<std::string_view>{"a", "b"});
            CHECK(answer->body == wanted.body);
            CHECK(answer->url == get.url);
            CHECK(answer->source == Source::network);
            CHECK(answer->timeline.empty());
        }
    }
    SECTION("the request arrives as given, once") {
        world.answer_with({.status = 200});
        const std::string body{"{\"a\":\0}\r\n", 9};
        REQUIRE(transport.send({.method = Method::patch,
                                .url = world.url("/orders/7"),
                                .headers = {{"X-Api-Key", "k"}, {"X-Empty", ""}, {"X-Two", "1"}, {"X-Two", "2"}},
                                .body = body},
                               {}));
        const std::vector<Request> seen = world.seen();
        REQUIRE(seen.size() == 1);
        CHECK(seen[0].method == Method::patch);
        CHECK(seen[0].headers.get("x-api-key") == "k");
        CHECK(seen[0].headers.get("X-Empty") == "");
        CHECK(seen[0].headers.get_all("X-Two") == std::vector<std::string_view>{"1", "2"});
        CHECK(seen[0].body == body);
    }
    SECTION("requests of one transport do not leak into each other") {
        world.answer_with({.status = 200, .body = "x"});
        REQUIRE(transport.send({.method = Method::put, .url = get.url, .headers = {{"X-Key", "k"}}, .body = "b"}, {}));
        REQUIRE(transport.send({.method = Method::head, .url = get.url}, {}));
        REQUIRE(transport.send({.method = Method::post, .url = get.url, .body = ""}, {}));
        REQUIRE(transport.send({.method = Method{"PURGE"}, .url = get.url}, {}));
        REQUIRE(transport.send(get, {}));
        const std::vector<Request> seen = world.seen();
        REQUIRE(seen.size() == 5);
        std::string methods;
        for (const Request& request : seen) methods.append(request.method.name()) += ' ';
        CHECK(methods == "PUT HEAD POST PURGE GET ");
        for (std::size_t i = 1; i < seen.size(); ++i) {
            CHECK_FALSE(seen[i].headers.contains("X-Key"));
            CHECK(seen[i].body.value_or("") == "");
        }
    }
    SECTION("a redirect is an answer and is not followed") {
        world.answer_with({.status = 302, .headers = {{"Location", world.url("/elsewhere")}}});
        const Result<Response> answer = transport.send(get, {});
        REQUIRE(answer);
        CHECK(answer->status == 302);
        CHECK(world.seen().size() == 1);
    }
    SECTION("a body above the limit is an error, one of exactly the limit is not") {
        world.answer_with({.status = 200, .body = std::string(1000, 'x')});
        const Result<Response> over = transport.send(get, {.max_response_bytes = 999});
        REQUIRE_FALSE(over);
        CHECK(over.error().code() == Errc::too_large);
        CHECK(over.error().sent() == Sent::maybe);
        const Result<Response> exact = transport.send(get, {.max_response_bytes = 1000});
        REQUIRE(exact);
        CHECK(exact->body.size() == 1000);
    }
    SECTION("an invalid request is refused before anything is sent") {
        world.answer_with({.status = 200});
        const std::string url = world.url("/");
        const Request invalid[] = {{.url = url, .headers = {{"X-A", "1\r\nX-B: 2"}}},
                                   {.url = url, .headers = {{"X A", "1"}}},
                                   {.url = url, .headers = {{"Content-Length", "3"}}},
                                   {.url = url + "\r\nX-B: 2"},
                                   {.url = "ftp://127.0.0.1/"},
                                   {.url = "file:///etc/hostname"},
                                   {.url = "/relative"},
                                   {.url = ""},
                                   {.method = Method{"GET / HTTP/1.1"}, .url = url}};
        for (const Request& request : invalid) {
            const Result<Response> answer = transport.send(request, {});
            REQUIRE_FALSE(answer);
            CHECK(answer.error().code() == Errc::invalid_request);
            CHECK(answer.error().sent() == Sent::no);
        }
        CHECK(world.seen().empty());
        CHECK(transport.send(get, {}));
    }
    SECTION("a body that is read arrives as bytes do, and a spent one sends nothing") {
        world.answer_with({.status = 200});
        const Body body = one_shot_body(
            [text = std::string{"read while sent"}](std::span<char> to) mutable {
                const std::size_t count = text.copy(to.data(), std::min<std::size_t>(to.size(), 4));
                text.erase(0, count);
                return count;
            },
            15);
        REQUIRE(transport.send({.method = Method::put, .url = get.url, .body = body}, {}));
        REQUIRE(world.seen().size() == 1);
        CHECK(world.seen()[0].body == "read while sent");
        const Result<Response> again = transport.send({.method = Method::put, .url = get.url, .body = body}, {});
        REQUIRE_FALSE(again);
        CHECK(again.error().code() == Errc::not_replayable);
        CHECK(again.error().sent() == Sent::no);
        CHECK(world.seen().size() == 1);
    }
    SECTION("a sink gets the body of a 2xx answer instead of the response, and of no other") {
        std::string got;
        const TakeBytes sink = [&](std::string_view bytes) -> Result<void> {
            got += bytes;
            return {};
        };
        world.answer_with({.status = 200, .body = "for the sink"});
        const Result<Response> good = transport.send(get, {.max_response_bytes = 1, .sink = &sink});
        REQUIRE(good);
        CHECK(good->body.empty());
        CHECK(got == "for the sink");
        CHECK(transport.send(get, {.sink = &sink, .max_sink_bytes = 11}).error().code() == Errc::too_large);
        CHECK(got == "for the sink");
        world.answer_with({.status = 500, .body = "sorry"});
        const Result<Response> bad = transport.send(get, {.sink = &sink});
        REQUIRE(bad);
        CHECK(bad->body == "sorry");
        CHECK(got == "for the sink");
    }
    SECTION("a 2xx answer is shown without its body before that, and may be refused") {
        std::string seen;
        std::optional<Error> refusal;
        const TakeHead head = [&](const Response& answer) -> Result<void> {
            seen += std::to_string(answer.status) + answer.body;
            if (answer.headers.contains("X-Mark")) seen += '!';
            return refusal ? Result<void>{fail(*refusal)} : Result<void>{};
        };
        const TakeBytes sink = [&](std::string_view bytes) -> Result<void> {
            seen += bytes;
            return {};
        };
        const SendOptions options{.sink = &sink, .head = &head};
        world.answer_with({.status = 200, .headers = {{"X-Mark", "x"}}, .body = " body"});
        CHECK(transport.send(get, options));
        CHECK(seen == "200! body");
        refusal = Error{Errc::protocol_error, "mine"};
        const Result<Response> refused = transport.send(get, options);
        REQUIRE_FALSE(refused);
        CHECK(refused.error().code() == Errc::protocol_error);
        CHECK(refused.error().detail() == "mine");
        CHECK(seen == "200! body200!");
        world.answer_with({.status = 500, .body = "sorry"});
        CHECK(transport.send(get, options));
        CHECK(seen == "200! body200!");
    }
    SECTION("a stop requested beforehand sends nothing") {
        world.answer_with({.status = 200});
        std::stop_source source;
        source.request_stop();
        const Result<Response> answer = transport.send(get, {.stop = source.get_token()});
        REQUIRE_FALSE(answer);
        CHECK(answer.error().code() == Errc::cancelled);
        CHECK(answer.error().sent() == Sent::no);
        CHECK(world.seen().empty());
    }
    SECTION("any thread may send on any copy") {
        world.answer_with({.status = 200, .body = "shared"});
        constexpr std::size_t threads = 4;
        constexpr std::size_t calls = 25;
        std::vector<std::size_t> good(threads);
        {
            std::vector<std::jthread> running;
            for (std::size_t i = 0; i < threads; ++i) {
                running.emplace_back([&, i, copy = transport] {
                    for (std::size_t call = 0; call < calls; ++call) {
                        const Result<Response> answer = (i % 2 == 0 ? copy : transport).send(get, {});
                        good[i] += answer && answer->body == "shared";
                    }
                });
            }
        }
        CHECK(good == std::vector<std::size_t>(threads, calls));
        CHECK(world.seen().size() == threads * calls);
    }
}

}  // namespace breakwater::test
