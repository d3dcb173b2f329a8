#include <breakwater/client/download.hpp>
#include <breakwater/http/sink.hpp>

#include <catch_shim.hpp>
#include <temporary_directory.hpp>
#include <unit/scripted_client.hpp>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <stdlib.h>
#include <sys/stat.h>

namespace bw = breakwater;
using bw::Errc;
using bw::Error;
using bw::Response;
using bw::ScriptedTransport;

namespace {

struct World {
    bw::ManualClock clock{};
    bw::ClientOptions options{.name = "sinks", .base_url = "http://service.test"};
    auto client(ScriptedTransport service) const {
        return bw::ResilientClient{options, std::move(service), bw::MemoryStore{clock}};
    }
};

using Names = std::vector<std::string>;

}  // namespace

TEST_CASE("a 2xx answer goes to the file and not into the response") {
    const World world;
    const bw::test::TemporaryDirectory directory;
    const auto answer = world.client({Response{.status = 200, .body = "the file"}})
                            .get("/x", {.save_to = bw::to_file(directory / "out")});
    REQUIRE(answer);
    CHECK(answer->body.empty());
    CHECK(directory.read("out") == "the file");
    CHECK(directory.names() == Names{"out"});
}

TEST_CASE("an error answer leaves the file that was there, nothing else, and has its body in the error") {
    const World world;
    const bw::test::TemporaryDirectory directory;
    directory.write("out", "old");
    const auto answer = world.client({Response{.status = 404, .body = "not here"}})
                            .get("/x", {.save_to = bw::to_file(directory / "out")});
    REQUIRE_FALSE(answer);
    CHECK(answer.error().response()->body == "not here");
    CHECK(directory.read("out") == "old");
    CHECK(directory.names() == Names{"out"});
}

TEST_CASE("a fallback's answer does not become the file") {
    const World world;
    const bw::test::TemporaryDirectory directory;
    const auto answer = world.client({Response{.status = 500}})
                            .post("/x", {.fallback = [](const Error&) { return Response{.status = 200, .body = "f"}; },
                                         .save_to = bw::to_file(directory / "out")});
    REQUIRE(answer);
    CHECK(answer->body == "f");
    CHECK(directory.names().empty());
}

TEST_CASE("a retry begins the file anew") {
    const World world;
    const bw::test::TemporaryDirectory directory;
    directory.write("out", "old");
    ::chmod((directory / "out").c_str(), 0600);
    int attempts = 0;
    // A transport whose first answer breaks off after some bytes.
    struct BreaksOff {
        int* attempts;
        bw::Result<Response> send(const bw::Request&, const bw::SendOptions& options) const {
            if (++*attempts == 1) {
                REQUIRE((*options.sink)("half of a long ans"));
                return bw::fail(Errc::truncated);
            }
            REQUIRE((*options.sink)("who"));
            REQUIRE((*options.sink)("le"));
            return Response{.status = 200};
        }
    };
    const bw::ResilientClient client{world.options, BreaksOff{&attempts}, bw::MemoryStore{world.clock}};
    REQUIRE(client.get("/x", {.save_to = bw::to_file(directory / "out")}));
    CHECK(attempts == 2);
    CHECK(directory.read("out") == "whole");
    CHECK(directory.names() == Names{"out"});
    struct stat about{};
    ::stat((directory / "out").c_str(), &about);
    CHECK((about.st_mode & 0777) == 0600);  // as before

    attempts = 0;
    std::string got;
    const auto callable = client.get("/x", {.save_to = [&](std::string_view bytes) { got += bytes; }});
    REQUIRE_FALSE(callable);
    CHECK(attempts == 1);
    CHECK(callable.error().code() == Errc::truncated);
    CHECK(callable.error().stopped_by() == Errc::not_replayable);

    struct Resettable {
        std::string* to;
        void operator()(std::string_view bytes) const { *to += bytes; }
        void reset() const { to->clear(); }
    };
    attempts = 0;
    got.clear();
    REQUIRE(client.get("/x", {.save_to = Resettable{&got}}));
    CHECK(attempts == 2);
    CHECK(got == "whole");
}

TEST_CASE("a sink that got nothing yet does not stand in the way of a retry") {
    const World world;
    std::string got;
    CHECK(world.client({Response{.status = 503, .body = "sorry"}, Response{.status = 200, .body = "good"}})
              .get("/x", {.save_to = [&](std::string_view bytes) { got += bytes; }}));
    CHECK(got == "good");
}

TEST_CASE("a sink that refuses, fails or throws ends the call with its error and says nothing of the service") {
    World world;
    world.options.circuit_breaker.trip = bw::ConsecutiveFailures{1};
    const ScriptedTransport service = ScriptedTransport::always(Response{.status = 200, .body = "x"});
    const auto client = world.client(service);
    const auto failure = [&](bw::Sink sink) { return client.get("/x", {.save_to = std::move(sink)}).error(); };
    CHECK(failure([](std::string_view) { return false; }).code() == Errc::sink_failed);
    const Error own = failure([](std::string_view) -> bw::Result<void> { return bw::fail(Errc::failure, "full"); });
    CHECK(own.code() == Errc::sink_failed);
    CHECK(own.detail() == "full");
    const Error thrown = failure([](std::string_view) { throw std::runtime_error{"mine"}; });
    CHECK(thrown.code() == Errc::sink_failed);
    CHECK_THROWS_WITH(std::rethrow_exception(thrown.exception()), "mine");
    CHECK(service.count() == 3);
    CHECK(client.circuit_breaker().snapshot().state == bw::CircuitState::closed);
}

TEST_CASE("a file that cannot be written is refused before anything is sent") {
    const World world;
    const bw::test::TemporaryDirectory directory;
    const ScriptedTransport service = ScriptedTransport::always(Response{.status = 200});
    const auto client = world.client(service);
    for (const std::filesystem::path& path :
         {directory / "no" / "such", directory.path(), std::filesystem::path{"/dev/null"}, std::filesystem::path{}}) {
        const auto answer = client.get("/x", {.save_to = bw::to_file(path)});
        REQUIRE_FALSE(answer);
        CHECK(answer.error().code() == Errc::invalid_request);
        CHECK(answer.error().sent() == bw::Sent::no);
    }
    CHECK(client.head("/x", {.save_to = bw::to_file(directory / "out")}).error().code() == Errc::invalid_request);
    CHECK(service.count() == 0);
    CHECK(directory.names().empty());
}

TEST_CASE("saving has a limit of its own, and none by default") {
    World world;
    world.options.max_response_bytes = 4;
    const auto client = world.client(ScriptedTransport::always(Response{.status = 200, .body = "12345"}));
    std::string got;
    const bw::Sink sink = [&](std::string_view bytes) { got += bytes; };
    CHECK(client.get("/x", {.save_to = sink}));
    CHECK(client.get("/x", {.save_to = sink, .max_saved_bytes = 4}).error().code() == Errc::too_large);
    CHECK(got == "12345");
}

TEST_CASE("a saved answer neither comes from the cache nor goes there") {
    World world;
    world.options.cache.ttl = std::chrono::seconds{60};
    const ScriptedTransport service = ScriptedTransport::always(Response{.status = 200, .body = "b"});
    const auto client = world.client(service);
    std::string got;
    const bw::Sink sink = [&](std::string_view bytes) { got += bytes; };
    REQUIRE(client.get("/x", {.save_to = sink}));
    CHECK(client.get("/x").value().body == "b");
    REQUIRE(client.get("/x", {.save_to = sink}));
    CHECK(service.count() == 3);
    CHECK(got == "bb");
}

TEST_CASE("progress is told, and a callback that says no or throws cancels the call") {
    const World world;
    const auto client = world.client(ScriptedTransport::always(Response{.status = 200, .body = "123"}));
    bw::Progress seen;
    const auto note = [&](const bw::Progress& progress) {
        seen = progress;
        return true;
    };
    CHECK(client.put("/x", {.body = "12345", .progress = note}));
    CHECK(seen == bw::Progress{5, 5, 3, 3});
    CHECK(client.get("/x", {.progress = [](const bw::Progress&) { return false; }}).error().code() == Errc::cancelled);
    const auto thrown =
        client.get("/x", {.progress = [](const bw::Progress&) -> bool { throw std::runtime_error{"mine"}; }});
    CHECK(thrown.error().code() == Errc::cancelled);
    CHECK_THROWS_WITH(std::rethrow_exception(thrown.error().exception()), "mine");
}
