// Files fetched and sent through a whole client, against servers that break off, change their mind and lie.
#include "raw_server.hpp"

#include <breakwater/digest.hpp>
#include <breakwater/resilient_client.hpp>
#include <breakwater/task/start.hpp>
#include <breakwater/task/when_all.hpp>

#include <catch_shim.hpp>
#include <soon.hpp>
#include <temporary_directory.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include <malloc.h>
#include <stdlib.h>

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::Errc;
using bw::Resume;
using bw::test::answer;
using bw::test::Connection;
using bw::test::RawServer;
using Catch::Matchers::ContainsSubstring;

namespace {

/// Where the file "out" goes.
struct Folder : bw::test::TemporaryDirectory {
    std::string read(const std::string& name = "out") const { return TemporaryDirectory::read(name); }
    std::filesystem::path out() const { return path() / "out"; }
};
using Names = std::vector<std::string>;

/// The value of a field of a request as it came; empty if it is not there.
std::string field(const std::string& request, const std::string& name) {
    const auto at = request.find("\r\n" + name + ": ");
    if (at == request.npos) return {};
    const auto from = at + name.size() + 4;
    return request.substr(from, request.find('\r', from) - from);
}

std::string etag(std::string_view tag) { return "ETag: \"" + std::string{tag} + "\"\r\n"; }
/// The answer to a request for what is beyond `from`.
std::string rest(const std::string& content, std::size_t from, std::string_view tag = "v1",
                 std::string_view fields = "") {
    const std::string range = "Content-Range: bytes " + std::to_string(from) + "-" +
                              std::to_string(content.size() - 1) + "/" + std::to_string(content.size()) + "\r\n";
    return answer(206, content.substr(from), range + etag(tag) + std::string{fields});
}

/// A client and a server that gives one answer after the other, the last one for ever; what is cut short is cut short.
/// It closes the connection after each and says so: a request sent into one that is being closed is lost.
struct World {
    explicit World(std::vector<std::string> given)
        : server{RawServer::http([answers = std::move(given), next = std::make_shared<std::atomic<std::size_t>>(0)](
                                     Connection& c, const std::string&) {
              std::string text = answers[std::min(next->fetch_add(1), answers.size() - 1)];
              if (const auto line = text.find("\r\n"); line != text.npos)
                  text.insert(line + 2, "Connection: close\r\n");
              c.send(text);
              return false;
          })} {}

    bw::ClientOptions options() const {
        return {.name = "files",
                .base_url = server->url(""),
                .retry = {.max_retries = retries, .backoff = {.base = 1ms, .cap = 2ms}},
                .retry_budget = {.ratio = std::nullopt}};
    }
    bw::Result<bw::Response> download(bw::DownloadOptions how = {}) const {
        return bw::ResilientClient{options()}.download("/file", folder.out(), std::move(how));
    }
    std::vector<std::string> asked(const std::string& name = "Range") const {
        std::vector<std::string> all;
        for (const std::string& request : server->requests()) all.push_back(field(request, name));
        return all;
    }

    unsigned retries = 3;
    Folder folder{};
    std::unique_ptr<RawServer> server;
};

const std::string content = "The quick brown fox jumps over the lazy dog";
constexpr std::string_view content_256 = "d7a8fbb307d7809469ca9abcb0082e4f8d5651e46d3cdb762d02d0bf37c9e592";
const std::string content_digest = "Repr-Digest: sha-256=:16j7swfXgJRpypq8sAguT41WUeRtPNt2LQLQvzfJ5ZI=:\r\n";
const std::string whole = answer(200, content, etag("v1"));
/// Breaks off when so many bytes of the content are sent.
std::string broken(std::size_t at, std::string_view of = whole) {
    return std::string{of.substr(0, of.size() - content.size() + at)};
}

}  // namespace

TEST_CASE("a download goes on at the byte where it broke, again and again") {
    const World world{{broken(10), "", answer(503, "busy"), rest(content, 10).substr(0, rest(content, 10).size() - 13),
                       rest(content, 30)}};
    std::vector<bw::DownloadProgress> told;
    bw::ClientOptions options = world.options();
    options.retry.max_retries = 4;
    const auto saved = bw::ResilientClient{options}.download(
        "/file", world.folder.out(),
        {.verify = bw::sha256(content_256), .progress = [&](const auto& progress) { told.push_back(progress); }});
    REQUIRE(saved);
    CHECK(saved->status == 206);
    CHECK(saved->body.empty());
    CHECK(saved->timeline.size() == 5);
    CHECK(world.folder.read() == content);
    CHECK(world.folder.names() == Names{"out"});
    CHECK(world.asked() == Names{"", "bytes=10-", "bytes=10-", "bytes=10-", "bytes=30-"});
    CHECK(world.asked("If-Range") == Names{"", "\"v1\"", "\"v1\"", "\"v1\"", "\"v1\""});
    CHECK(world.asked("Accept-Encoding") == Names(5, "identity"));
    REQUIRE_FALSE(told.empty());
    CHECK(told.front() == bw::DownloadProgress{0, content.size()});
    CHECK(told.back() == bw::DownloadProgress{content.size(), content.size()});
    CHECK(std::ranges::is_sorted(told, {}, &bw::DownloadProgress::bytes));
}

TEST_CASE("a file that changes meanwhile is the new one, never of both") {
    const std::string next = "Something else altogether, and longer than it";
    SECTION("the service says so by a whole answer") {
        const World world{{broken(10), answer(200, next, etag("v2"))}};
        const auto saved = world.download();
        REQUIRE(saved);
        CHECK(saved->status == 200);
        CHECK(world.folder.read() == next);
    }
    SECTION("the service takes no notice of If-Range") {
        const World world{{broken(10), rest(next, 10, "v2"), answer(200, next, etag("v2"))}};
        const auto saved = world.download();
        REQUIRE(saved);
        CHECK(world.folder.read() == next);
        CHECK(saved->timeline.size() == 2);  // the whole is asked for at once, in the same attempt
        CHECK(world.asked() == Names{"", "bytes=10-", ""});
    }
    SECTION("the new one breaks off, too") {
        const std::string second = answer(200, next, etag("v2"));
        const World world{{broken(10), second.substr(0, second.size() - 20), rest(next, next.size() - 20, "v2")}};
        REQUIRE(world.download());
        CHECK(world.folder.read() == next);
        CHECK(world.asked("If-Range") == Names{"", "\"v1\"", "\"v2\""});
    }
}

TEST_CASE("a part that is not the one asked for is thrown away") {
    const std::string head = "HTTP/1.1 206 Partial\r\nETag: \"v1\"\r\n";
    for (const std::string& lie :
         {rest(content, 9), rest(content, 11), rest(content + "!", 10), head + "Content-Length: 3\r\n\r\nabc",
          head + "Content-Range: bytes 10-12/43\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc"}) {
        CAPTURE(lie);
        const World world{{broken(10), lie, whole}};
        REQUIRE(world.download());
        CHECK(world.folder.read() == content);
        CHECK(world.asked() == Names{"", "bytes=10-", ""});
    }
    // A part that nobody has asked for.
    World world{{rest(content, 10)}};
    world.retries = 0;
    CHECK(world.download().error().code() == Errc::protocol_error);
    CHECK(world.folder.names().empty());
}

TEST_CASE("without a strong validator every attempt begins anew, and so it does if told to") {
    for (const std::string fields : {"", "ETag: W/\"v1\"\r\n", "Last-Modified: Fri, 21 Nov 2025 10:00:00 GMT\r\n"}) {
        const std::string whole_answer = answer(200, content, fields);
        const World world{{broken(10, whole_answer), whole_answer}};
        REQUIRE(world.download());
        CHECK(world.folder.read() == content);
        CHECK(world.asked() == Names{"", ""});
    }
    const World world{{broken(10), whole}};
    REQUIRE(world.download({.resume = Resume::off}));
    CHECK(world.folder.read() == content);
    CHECK(world.asked() == Names{"", ""});
}

TEST_CASE("a date that is old enough is a validator") {
    const std::string dated = answer(200, content,
                                     "Last-Modified: Fri, 21 Nov 2025 10:00:00 GMT\r\n"
                                     "Date: Sat, 22 Nov 2025 10:00:00 GMT\r\n");
    const World world{{broken(10, dated), rest(content, 10)}};
    REQUIRE(world.download());
    CHECK(world.folder.read() == content);
    CHECK(world.asked("If-Range")[1] == "Fri, 21 Nov 2025 10:00:00 GMT");
}

TEST_CASE("where nothing was missing any more the service may say so") {
    const std::string chunked =
        "HTTP/1.1 200 OK\r\n" + etag("v1") + "Transfer-Encoding: chunked\r\n\r\n2b\r\n" + content + "\r\n";
    {
        const World world{{chunked, answer(416, "", "Content-Range: bytes */43\r\n")}};
        const auto saved = world.download({.verify = bw::sha256(content_256)});
        REQUIRE(saved);
        CHECK(saved->status == 206);
        CHECK(world.folder.read() == content);
        CHECK(world.asked() == Names{"", "bytes=43-"});
    }
    const World world{{chunked, answer(416, "", "Content-Range: bytes */42\r\n"), whole}};  // another one by now
    REQUIRE(world.download());
    CHECK(world.asked() == Names{"", "bytes=43-", ""});
}

TEST_CASE("a file of another length than announced is none") {
    {
        const World world{{broken(10), ""}};
        const auto saved = world.download();
        REQUIRE_FALSE(saved);
        CHECK(saved.error().attempts() == 4);
        CHECK(world.folder.names().empty());
    }
    {
        World world{{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nmore than five"}};
        REQUIRE(world.download());  // what is beyond belongs to no answer
        CHECK(world.folder.read() == "more ");
    }
    {  // a part that ends early, in good order: the retry goes on from there
        const World world{{broken(10),
                           answer(206, content.substr(10, 5), "Content-Range: bytes 10-14/43\r\n" + etag("v1")),
                           rest(content, 15)}};
        REQUIRE(world.download());
        CHECK(world.folder.read() == content);
        CHECK(world.asked().back() == "bytes=15-");
    }
    {  // a part that is longer than its own Content-Range
        const World world{
            {broken(10), answer(206, content.substr(10) + "!", "Content-Range: bytes 10-42/43\r\n"), whole}};
        REQUIRE(world.download());
        CHECK(world.folder.read() == content);
        CHECK(world.asked() == Names{"", "bytes=10-", ""});
    }
}

TEST_CASE("a limit is that of the whole file, of its parts together") {
    const World world{{broken(10), rest(content, 10)}};
    const bw::ResilientClient client{world.options()};
    CHECK(client.download("/file", world.folder.out(), {}, {.max_saved_bytes = 42}).error().code() == Errc::too_large);
    const World again{{broken(10), rest(content, 10)}};
    CHECK(bw::ResilientClient{again.options()}.download("/file", again.folder.out(), {}, {.max_saved_bytes = 43}));
}

TEST_CASE("a file with a wrong digest is fetched once more from its beginning, if at all, and never shown") {
    const std::string damaged = "the quick" + content.substr(9);
    const std::string wrong = answer(200, damaged, etag("v1") + content_digest);
    const std::string right = answer(200, content, etag("v1") + content_digest);
    {
        const World world{{wrong, right}};
        CHECK(world.download({.verify = bw::server_digest()}));
        CHECK(world.folder.read() == content);
        CHECK(world.asked() == Names{"", ""});
    }
    {  // glued together from two answers
        const World world{{broken(10, wrong), rest(content, 10), right}};
        CHECK(world.download({.verify = bw::server_digest()}));
        CHECK(world.folder.read() == content);
        CHECK(world.asked() == Names{"", "bytes=10-", ""});
    }
    {
        const World world{{wrong}};
        world.folder.write("out", "old");
        const auto saved = world.download({.resume = Resume::across_calls, .verify = bw::sha256(content_256)});
        REQUIRE_FALSE(saved);
        CHECK(saved.error().code() == Errc::digest_mismatch);
        CHECK_THAT(saved.error().message(), ContainsSubstring("expected " + std::string{content_256} + ", got "));
        CHECK(world.server->requests().size() == 2);  // not four
        CHECK(world.folder.read() == "old");
        CHECK(world.folder.names() == Names{"out"});
    }
    World world{{wrong}};
    bw::ClientOptions options = world.options();
    options.retry.on = bw::on_statuses({503});
    const auto saved =
        bw::ResilientClient{options}.download("/file", world.folder.out(), {.verify = bw::server_digest()});
    CHECK(saved.error().code() == Errc::digest_mismatch);
    CHECK_THAT(saved.error().message(), ContainsSubstring("Repr-Digest sha-256: expected "));
    CHECK(world.server->requests().size() == 1);
}

TEST_CASE("a call that fails leaves its part to the next one if it is told to") {
    const bw::DownloadOptions kept{.resume = Resume::across_calls, .verify = bw::sha256(content_256)};
    const Names part{"out.part", "out.part.json"};
    World world{{broken(10), rest(content, 10)}};
    world.retries = 0;
    REQUIRE_FALSE(world.download(kept));
    CHECK(world.folder.names() == part);
    CHECK(world.folder.read("out.part") == content.substr(0, 10));
    CHECK_THAT(world.folder.read("out.part.json"), !ContainsSubstring("file"));  // no URL: it may hold secrets

    SECTION("a call of another client goes on") {
        const auto saved = world.download(kept);
        REQUIRE(saved);
        CHECK(world.folder.read() == content);
        CHECK(world.folder.names() == Names{"out"});
        CHECK(world.asked() == Names{"", "bytes=10-"});
    }
    const auto begins_anew = [&](std::string_view target) {
        const World other{{whole}};
        std::filesystem::copy(world.folder.path(), other.folder.path());
        bw::ClientOptions options = other.options();
        REQUIRE(bw::ResilientClient{options}.download(target, other.folder.out(), kept));
        CHECK(other.folder.read() == content);
        CHECK(other.folder.names() == Names{"out"});
        CHECK(other.asked() == Names{""});
    };
    SECTION("not with another URL's") { begins_anew("/file"); }  // another port
    SECTION("and to the one after that where nothing is sent") {
        const auto throws = []() -> std::unique_ptr<bw::FileCheck> { throw std::runtime_error{"mine"}; };
        CHECK(world.download({.resume = Resume::across_calls, .verify = throws}).error().code() == Errc::sink_failed);
        const bw::ResilientClient client{world.options()};
        client.circuit_breaker().force_open(1min);
        CHECK(client.download("/file", world.folder.out(), kept).error().code() == Errc::circuit_open);
        CHECK(world.folder.names() == part);
        CHECK(world.folder.read("out.part").size() == 10);
    }
    SECTION("not without a record") {
        world.folder.write("out.part.json", world.folder.read("out.part.json").substr(0, 30));
        REQUIRE_FALSE(world.download({.resume = Resume::across_calls, .verify = bw::sha256(content_256)}));
        CHECK(world.asked() == Names{"", ""});  // the server's part was not asked for
    }
    SECTION("not by a link in its place, which stays what it is") {
        std::filesystem::remove(world.folder.path() / "out.part");
        world.folder.write("precious", "precious");
        std::filesystem::create_symlink("precious", world.folder.path() / "out.part");
        world.retries = 1;
        REQUIRE_FALSE(world.download(kept));
        CHECK(world.folder.read("precious") == "precious");
    }
    SECTION("not where the kept bytes were damaged: the digest tells, and the whole is fetched") {
        World damaged{{broken(10), rest(content, 10), whole}};
        damaged.retries = 0;
        REQUIRE_FALSE(damaged.download(kept));
        damaged.folder.write("out.part", "the quick ");
        damaged.retries = 1;
        REQUIRE(damaged.download(kept));
        CHECK(damaged.folder.read() == content);
        CHECK(damaged.asked() == Names{"", "bytes=10-", ""});
    }
}

TEST_CASE("two calls for one file at a time do not meet") {
    std::atomic<int> waiting{0};
    const auto server = RawServer::http([&](Connection& c, const std::string&) {
        c.send(broken(10));
        ++waiting;
        if (test::soon([&] { return waiting >= 2; })) c.send(content.substr(10));
        return false;
    });
    const Folder folder;
    const bw::ResilientClient client{bw::ClientOptions{.name = "files", .base_url = server->url("")}};
    auto one = client.async_download("/file", folder.out(), {.resume = Resume::across_calls});
    auto two = client.async_download("/file", folder.out(), {.resume = Resume::across_calls});
    auto both = bw::as_future(bw::when_all(std::move(one), std::move(two))).get();
    CHECK(std::get<0>(both));
    CHECK(std::get<1>(both));
    CHECK(folder.read() == content);
    CHECK(folder.names() == Names{"out"});
}

TEST_CASE("a task downloads as a call does, on the way of a redirect, too") {
    const auto server =
        RawServer::http([tries = std::make_shared<std::atomic<int>>(0)](Connection& c, const std::string& r) {
            if (r.starts_with("GET /latest")) return c.send(answer(302, "", "Location: /v1\r\n"));
            c.send(++*tries == 1 ? broken(10, answer(200, content, etag("v1") + content_digest)) : rest(content, 10));
            return false;
        });
    const Folder folder;
    const bw::ResilientClient client{bw::ClientOptions{
        .name = "files", .base_url = server->url(""), .retry = {.backoff = {.base = 1ms, .cap = 2ms}}}};
    auto task = client.async_download("/latest", folder.out(),
                                      {.verify = bw::server_digest(), .flush = bw::Flush::before_rename});
    REQUIRE(bw::as_future(std::move(task)).get());
    CHECK(folder.read() == content);
    CHECK(folder.names() == Names{"out"});
    CHECK(field(server->requests().back(), "Range") == "bytes=10-");
    CHECK(server->requests().size() == 4);
}

TEST_CASE("a listener that throws and one that takes its time break nothing") {
    const World world{{broken(10), rest(content, 10)}};
    int told = 0;
    REQUIRE(world.download({.progress = [&](const bw::DownloadProgress&) {
        std::this_thread::sleep_for(20ms);
        if (++told > 0) throw std::runtime_error{"mine"};
    }}));
    CHECK(told >= 2);
    CHECK(world.folder.read() == content);
}

TEST_CASE("a check that throws, or cannot be made, is the caller's failure and not retried") {
    const auto throws = []() -> std::unique_ptr<bw::FileCheck> { throw std::runtime_error{"mine"}; };
    struct Throws : bw::FileCheck {
        bw::Result<void> begin(const bw::Response&, std::uint64_t, const bw::ReadAgain&) override { return {}; }
        void take(std::string_view) override { throw std::runtime_error{"mine"}; }
        bw::Result<void> end() override { return {}; }
    };
    const World world{{whole}};
    CHECK(world.download({.verify = throws}).error().code() == Errc::sink_failed);
    CHECK(world.server->requests().empty());
    const auto thrown = world.download({.verify = [] { return std::make_unique<Throws>(); }});
    CHECK(thrown.error().code() == Errc::sink_failed);
    CHECK_THROWS_WITH(std::rethrow_exception(thrown.error().exception()), "mine");
    CHECK(world.server->requests().size() == 1);
    CHECK(world.folder.names().empty());
}

TEST_CASE("a big file passes through little memory") {
    constexpr std::size_t size = std::size_t{64} << 20;
    const std::string block(std::size_t{64} << 10, 'x');
    const auto server = RawServer::http([&](Connection& c, const std::string& request) {
        const std::string range = field(request, "Range");
        const std::size_t from = range.empty() ? 0 : std::stoul(range.substr(6));
        c.send((range.empty() ? "HTTP/1.1 200 OK\r\n"
                              : "HTTP/1.1 206 Partial\r\nContent-Range: bytes " + std::to_string(from) + "-" +
                                    std::to_string(size - 1) + "/" + std::to_string(size) + "\r\n") +
               etag("v1") + "Content-Length: " + std::to_string(size - from) + "\r\n\r\n");
        const std::size_t end = range.empty() ? size / 2 + 1 : size;
        for (std::size_t at = from; at < end;) {
            const std::string_view piece = std::string_view{block}.substr(0, std::min(block.size(), end - at));
            if (!c.send(piece)) return false;
            at += piece.size();
        }
        return false;
    });
    const Folder folder;
    const bw::ResilientClient client{bw::ClientOptions{.name = "files",
                                                       .base_url = server->url(""),
                                                       .timeouts = {.attempt = 29s},
                                                       .retry = {.backoff = {.base = 1ms, .cap = 2ms}}}};
    REQUIRE(client.get("/warm", {.save_to = [](std::string_view) {}}).error().code() == Errc::truncated);
    const auto in_use = [] {
        const auto all = ::mallinfo2();
        return all.uordblks + all.hblkhd;
    };
    const std::size_t before = in_use();
    std::size_t most = 0;
    struct Counts : bw::FileCheck {
        explicit Counts(std::function<void()> f) : look{std::move(f)} {}
        bw::Result<void> begin(const bw::Response&, std::uint64_t, const bw::ReadAgain&) override { return {}; }
        void take(std::string_view) override { look(); }
        bw::Result<void> end() override { return {}; }
        std::function<void()> look;
    };
    const auto look = [&] { most = std::max(most, in_use() - std::min(in_use(), before)); };
    REQUIRE(client.download("/file", folder.out(), {.verify = [&] { return std::make_unique<Counts>(look); }}));
    CHECK(std::filesystem::file_size(folder.out()) == size);
    INFO("most memory: " << most);
    CHECK(most < std::size_t{1} << 20);  // a sanitizer's allocator shows nothing here
}

TEST_CASE("an upload sends a file or what can be read anew as often as it takes, and a one-shot source once") {
    World world{{answer(503, "busy"), answer(201, "")}};
    world.folder.write("in", content);
    const bw::ResilientClient client{world.options()};
    const auto bodies = [&] {
        std::vector<std::string> all;
        for (const std::string& request : world.server->requests())
            all.push_back(request.substr(request.find("\r\n\r\n") + 4));
        return all;
    };
    const auto reader = [] {
        return [left = content](std::span<char> to) mutable -> bw::Result<std::size_t> {
            const std::size_t count = left.copy(to.data(), to.size());
            left.erase(0, count);
            return count;
        };
    };
    SECTION("a file") {
        REQUIRE(client.upload("/file", world.folder.path() / "in"));
        CHECK(bodies() == Names{content, content});
        CHECK(world.server->requests().front().starts_with("PUT /file "));
    }
    SECTION("a source that makes readers") {
        REQUIRE(client.upload("/file", bw::replayable_body(reader, content.size())));
        CHECK(bodies() == Names{content, content});
    }
    SECTION("a task") {
        auto task = client.async_upload("/file", world.folder.path() / "in");
        REQUIRE(bw::as_future(std::move(task)).get());
        CHECK(bodies() == Names{content, content});
    }
    SECTION("a one-shot source") {
        const auto sent = client.upload("/file", bw::one_shot_body(reader(), content.size()));
        REQUIRE_FALSE(sent);
        CHECK(sent.error().status() == 503);
        CHECK(sent.error().stopped_by() == Errc::not_replayable);
        CHECK_THAT(sent.error().message(), ContainsSubstring("one-shot"));
        CHECK(bodies() == Names{content});
    }
}
