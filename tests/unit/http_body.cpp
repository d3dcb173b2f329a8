#include <breakwater/http/body.hpp>
#include <breakwater/http/file_body.hpp>

#include <catch_shim.hpp>
#include <unit/scripted_client.hpp>

#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>

#include <unistd.h>

namespace bw = breakwater;
using bw::Body;
using bw::Errc;
using bw::Error;
using bw::Response;
using bw::ScriptedTransport;

namespace {

/// Gives `text` out in pieces of at most `most` bytes.
bw::BodyReader reader(std::string text, std::size_t most = 3) {
    return [text = std::move(text), most, at = std::size_t{0}](std::span<char> to) mutable {
        const auto count = text.copy(to.data(), std::min(most, to.size()), at);
        at += count;
        return count;
    };
}

bw::Result<std::string> read_all(const Body& body) {
    auto opened = body.open();
    if (!opened) return bw::fail(opened.error());
    bw::BodyTransfer transfer{*std::move(opened)};
    std::string text;
    for (std::array<char, 5> buffer;;) {
        const auto count = transfer.read(buffer);
        if (!count) return bw::fail(count.error());
        if (*count == 0) return text;
        text.append(buffer.data(), *count);
    }
}

/// A file that is gone at the end.
struct File {
    explicit File(const std::string& content)
        : path{std::filesystem::temp_directory_path() / ("breakwater-body-" + std::to_string(::getpid()))} {
        std::ofstream{path, std::ios::binary} << content;
    }
    ~File() { std::filesystem::remove(path); }
    std::filesystem::path path;
};

struct World {
    bw::ManualClock clock{};
    bw::ClientOptions options{.name = "bodies", .base_url = "http://service.test"};
    auto client(ScriptedTransport service) const {
        return bw::ResilientClient{options, std::move(service), bw::MemoryStore{clock}};
    }
};

}  // namespace

TEST_CASE("bytes, a file, readers and joined bodies give what they hold, as often as they may") {
    const File file{"from a file"};
    const Body made = bw::replayable_body([] { return reader("made anew"); });
    for (int i = 0; i < 2; ++i) {
        CHECK(read_all("bytes").value() == "bytes");
        CHECK(read_all(bw::from_file(file.path)).value() == "from a file");
        CHECK(read_all(made).value() == "made anew");
        CHECK(read_all(Body::joined({"a", made, "", bw::from_file(file.path), "z"})).value() ==
              "amade anewfrom a filez");
    }
    CHECK(Body::joined({"ab", bw::from_file(file.path)}).open().value().size == 13);
    CHECK_FALSE(Body::joined({"ab", made}).open().value().size);
    CHECK(Body::joined({"ab", made}).is_replayable());
}

TEST_CASE("a one-shot body is spent by the first byte asked for, not by being opened") {
    const Body body = bw::one_shot_body(reader("once"));
    CHECK_FALSE(body.is_replayable());
    REQUIRE(body.open());
    auto other = body.open();
    CHECK_FALSE(body.is_spent());
    const Body copy = body;
    CHECK(read_all(copy).value() == "once");
    CHECK(body.is_spent());
    CHECK(body.open().error().code() == Errc::not_replayable);
    std::array<char, 4> buffer;
    CHECK(other->read(buffer).error().code() == Errc::not_replayable);  // opened before, too late all the same
    CHECK(Body::joined({"a", body}).is_spent());
    CHECK_FALSE(Body::joined({"a", body}).is_replayable());
}

TEST_CASE("a body that ends before its announced length, lies or throws is an error that says so") {
    const Error early = read_all(bw::one_shot_body(reader("four"), 9)).error();
    CHECK(early.code() == Errc::body_failed);
    CHECK_THAT(early.message(), Catch::Matchers::ContainsSubstring("after 4 of 9 bytes"));
    CHECK(read_all(bw::one_shot_body(reader("four"), 2)).value() == "fo");
    CHECK(read_all(bw::one_shot_body([](std::span<char> to) { return to.size() + 1; })).error().code() ==
          Errc::body_failed);
    const Error thrown =
        read_all(bw::one_shot_body([](std::span<char>) -> std::size_t { throw std::runtime_error{"mine"}; })).error();
    CHECK(thrown.code() == Errc::body_failed);
    CHECK_THROWS_WITH(std::rethrow_exception(thrown.exception()), "mine");
    CHECK(read_all(Body::joined({bw::one_shot_body(reader("ab"), 4), "cd"})).error().code() == Errc::body_failed);
}

TEST_CASE("a file that is missing or not a regular one is refused before anything is sent") {
    const World world;
    const ScriptedTransport service = ScriptedTransport::always(Response{.status = 200});
    const auto client = world.client(service);
    for (const std::filesystem::path& path : {std::filesystem::path{"/nowhere/at/all"},
                                              std::filesystem::path{"/dev/null"}, std::filesystem::path{"/tmp"}}) {
        const auto answer = client.put("/x", {.body = bw::from_file(path)});
        REQUIRE_FALSE(answer);
        CHECK(answer.error().code() == Errc::invalid_request);
        CHECK(answer.error().sent() == bw::Sent::no);
        CHECK_THAT(answer.error().message(), Catch::Matchers::ContainsSubstring(path.string()));
    }
    CHECK(service.count() == 0);
}

TEST_CASE("a replayable body is sent whole again by each retry") {
    const World world;
    const ScriptedTransport service{Response{.status = 503}, Error{Errc::receive_failed}, Response{.status = 200}};
    const File file{"all of it"};
    CHECK(world.client(service).put("/x", {.body = bw::from_file(file.path)}));
    REQUIRE(service.count() == 3);
    for (const bw::Request& request : service.requests()) CHECK(request.body == "all of it");
}

TEST_CASE("a one-shot body is never retried once it was read, and the error says so") {
    const World world;
    const ScriptedTransport service{Response{.status = 503}, Response{.status = 200}};
    const auto answer = world.client(service).put("/x", {.body = bw::one_shot_body(reader("once"))});
    REQUIRE_FALSE(answer);
    CHECK(service.count() == 1);
    CHECK(answer.error().code() == Errc::http_status);
    CHECK(answer.error().stopped_by() == Errc::not_replayable);
    CHECK(answer.error().message() ==
          "PUT /x: status 503; gave up: a one-shot body or sink has been used and cannot start anew");
}

TEST_CASE("a one-shot body does not take the blame where no retry would have been made") {
    World world;
    world.options.retry.max_retries = 1;
    const auto stopped_by = [&](int status, const bw::Method& method) {
        const ScriptedTransport service{Response{.status = status}};
        const auto answer =
            world.client(service).send({.method = method, .url = "/x"}, {.body = bw::one_shot_body(reader("once"))});
        return answer.error().stopped_by();
    };
    CHECK(stopped_by(503, bw::Method::put) == Errc::not_replayable);
    CHECK_FALSE(stopped_by(404, bw::Method::put));
    CHECK_FALSE(stopped_by(503, bw::Method::post));
    world.options.retry.max_retries = 0;
    CHECK_FALSE(stopped_by(503, bw::Method::put));
}

TEST_CASE("a spent one-shot body given to another call is refused unsent and says nothing of the service") {
    World world;
    world.options.circuit_breaker.trip = bw::ConsecutiveFailures{1};
    const ScriptedTransport service = ScriptedTransport::always(Response{.status = 200});
    const auto client = world.client(service);
    const Body body = bw::one_shot_body(reader("once"));
    REQUIRE(client.put("/x", {.body = body}));
    const auto again = client.put("/x", {.body = body});
    REQUIRE_FALSE(again);
    CHECK(again.error().code() == Errc::not_replayable);
    CHECK(again.error().attempts() == 1);
    CHECK(service.count() == 1);
    CHECK(client.circuit_breaker().snapshot().state == bw::CircuitState::closed);
}

TEST_CASE("a redirect that needs a one-shot body again is refused") {
    const World world;
    const ScriptedTransport service{Response{.status = 307, .headers = {{"Location", "/y"}}}, Response{.status = 200}};
    const auto answer = world.client(service).get("/x", {.body = bw::one_shot_body(reader("once"))});
    REQUIRE_FALSE(answer);
    CHECK(answer.error().code() == Errc::redirect_refused);
    CHECK_THAT(answer.error().message(), Catch::Matchers::ContainsSubstring("one-shot body cannot be sent again"));
    CHECK(service.count() == 1);
}
