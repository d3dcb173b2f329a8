#include "raw_server.hpp"

#include <breakwater/store/redis/connections.hpp>

#include <catch_shim.hpp>
#include <redis_recorder.hpp>
#include <redis_server.hpp>

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <latch>
#include <memory>
#include <optional>
#include <semaphore>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::redis::Connections;
using bw::redis::Reply;
using bw::redis::Script;
using bw::redis::Words;
using bw::test::ask;
using bw::test::RedisRecorder;
using bw::test::RedisServer;
using bw::test::words;
using Catch::Matchers::ContainsSubstring;
using Kind = bw::redis::Reply::Kind;

namespace {

/// To the server of a test, patient enough for a machine with more to do.
bw::RedisStoreOptions patient(const RedisServer& server) {
    return {.url = "unix://" + server.socket(),
            .command_timeout = 5s,
            .connect_timeout = 5s,
            .ping_interval = 50ms,
            .heartbeat_interval = 50ms,
            .reconnect = {.base = 10ms, .cap = 50ms}};
}

/// The same with the short time that a hung server is given.
bw::RedisStoreOptions impatient(const RedisServer& server) {
    auto options = patient(server);
    options.command_timeout = 200ms;
    return options;
}

Words with_argument(const Script& script, std::string_view key, std::string_view argument) {
    return words({"EVALSHA", script.sha1(), "1", key, argument});
}

/// How often the server has run a command.
std::string calls(const RedisServer& server, std::string_view command) {
    const std::string stats = server.ask({"INFO", "commandstats"});
    const auto at = stats.find("cmdstat_" + std::string{command} + ":calls=");
    if (at == stats.npos) return "0";
    const auto begin = stats.find('=', at) + 1;
    return stats.substr(begin, stats.find(',', begin) - begin);
}

/// How many calls the kernel has counted, of a thread or a process.
int system_calls(const char* file, std::string_view kind) {
    std::ifstream io{file};
    for (std::string name; io >> name;) {
        if (int count = 0; name == kind && io >> count) return count;
    }
    throw std::runtime_error{"no count of system calls"};
}

}  // namespace

TEST_CASE("nothing connects before the first use, and the first command waits for the connection") {
    const RedisServer server;
    RedisRecorder recorder;
    Connections connections{patient(server), recorder};
    CHECK_FALSE(connections.is_up());
    const Reply reply = ask(connections, words({"ECHO", "hello"}));
    CHECK(reply.kind == Kind::answer);
    CHECK(reply.text == "hello");
    CHECK(connections.is_up());
    CHECK(connections.is_up("any key"));
    REQUIRE(recorder.infos().size() == 1);
    const auto info = recorder.infos().front();
    CHECK(info.node == server.socket());
    CHECK(info.run_id.size() == 40);
    CHECK(info.sent <= info.received);
    CHECK(info.server_time > 1'600'000'000'000'000);
    CHECK_FALSE(info.is_cluster);
}

TEST_CASE("answers are numbers, texts, nothing and errors") {
    const RedisServer server;
    RedisRecorder recorder;
    Connections connections{patient(server), recorder};
    CHECK(ask(connections, words({"INCR", "n"})).numbers == std::vector<std::int64_t>{1});
    CHECK(ask(connections, words({"GET", "absent"})).kind == Kind::nothing);
    const Reply error = ask(connections, words({"INCR", "n", "too", "many"}));
    CHECK(error.kind == Kind::error);
    CHECK_THAT(error.text, ContainsSubstring("wrong number of arguments"));
    const Reply mixed = ask(connections, words({"EVAL", "return {1, 'a', 2, {3, 'b'}}", "0"}));
    CHECK(mixed.numbers == std::vector<std::int64_t>{1, 2, 3});
    CHECK(mixed.text == "b");
    CHECK(connections.is_up());
}

TEST_CASE("over TCP a name is resolved, and user, password and database are used") {
    const RedisServer server{{.tcp = true, .config = {"user ann on >p@ss ~* &* +@all"}}};
    RedisRecorder recorder;
    auto options = patient(server);
    options.url = "redis://ann:p%40ss@localhost:" + std::to_string(server.port()) + "/3";
    Connections connections{options, recorder};
    CHECK(ask(connections, words({"ACL", "WHOAMI"})).text == "ann");
    CHECK_THAT(ask(connections, words({"CLIENT", "INFO"})).text, ContainsSubstring(" db=3 "));
}

TEST_CASE("a wrong password is an event that does not repeat it") {
    const RedisServer server{{.config = {"requirepass hush"}}};
    RedisRecorder recorder;
    auto options = patient(server);
    options.url = "unix://:wr0ng@" + server.socket();
    Connections connections{options, recorder};
    CHECK(ask(connections, words({"PING"})).kind == Kind::unreachable);
    const std::string reason = recorder.wait_for("down");
    CHECK_THAT(reason, ContainsSubstring("refuses the user or password: WRONGPASS"));
    CHECK_THAT(reason, !ContainsSubstring("wr0ng"));
    CHECK(recorder.events().size() == 1);
}

TEST_CASE("a server that is not there is an event, told once, and no command waits for it") {
    RedisRecorder recorder;
    Connections connections{
        {.url = "unix:///nowhere/redis.sock", .command_timeout = 10s, .reconnect = {.base = 1ms, .cap = 1ms}},
        recorder};
    CHECK(ask(connections, words({"PING"})).kind == Kind::unreachable);
    CHECK(recorder.wait_for("down") == "down: No such file or directory");
    for (int i = 0; i < 20; ++i) {
        CHECK(ask(connections, words({"PING"})).kind == Kind::unreachable);
        std::this_thread::sleep_for(1ms);
    }
    CHECK(recorder.events().size() == 1);
}

TEST_CASE("the commands of many threads are each answered") {
    const RedisServer server;
    RedisRecorder recorder;
    Connections connections{patient(server), recorder};
    REQUIRE(ask(connections, words({"PING"})).ok());
    std::vector<std::jthread> threads;
    std::atomic<int> right{0};
    for (int thread = 0; thread < 8; ++thread) {
        threads.emplace_back([&, thread] {
            std::latch all{200};
            for (int i = 0; i < 200; ++i) {
                const std::string text = std::to_string(thread * 1000 + i);
                connections.submit({.command = words({"ECHO", text}), .done = [&, text](Reply&& reply) {
                                        if (reply.text == text) ++right;
                                        all.count_down();
                                    }});
            }
            all.wait();
        });
    }
    threads.clear();
    CHECK(right == 1600);
}

TEST_CASE("what is submitted together leaves in one write") {
    const RedisServer server;
    RedisRecorder recorder;
    auto options = patient(server);
    options.heartbeat_interval = options.ping_interval = 1h;  // these are writes, too
    Connections connections{options, recorder};
    REQUIRE(ask(connections, words({"PING"})).ok());
    const auto writes = [] { return system_calls("/proc/thread-self/io", "syscw:"); };
    int least = 100;  // of several times: the connection has writes of its own, when it is new
    for (int time = 0; time < 5; ++time) {
        int before = 0;
        int after = 0;
        std::latch all{100};
        connections.submit({.command = words({"PING"}), .done = [&](Reply&&) {  // on the I/O thread
                                before = writes();
                                for (int i = 0; i < 100; ++i) {
                                    connections.submit({.command = words({"PING"}), .done = [&](Reply&&) {
                                                            after = writes();
                                                            all.count_down();
                                                        }});
                                }
                            }});
        all.wait();
        least = std::min(least, after - before);
    }
    CHECK(least == 1);
}

TEST_CASE("a script that the server does not know is loaded, once, and its caller does not notice") {
    const RedisServer server;
    const Script script{"return {redis.call('INCRBY', KEYS[1], ARGV[1])}"};
    RedisRecorder recorder;
    Connections connections{patient(server), recorder};
    REQUIRE(ask(connections, words({"PING"})).ok());
    CHECK(calls(server, "script|load") == "0");
    std::latch all{100};
    std::atomic<int> answered{0};
    const auto submit_all = [&](Reply&&) {
        for (int i = 0; i < 100; ++i) {
            connections.submit(
                {.command = with_argument(script, "n", "1"), .script = &script, .done = [&](Reply&& reply) {
                     if (reply.kind == Kind::answer) ++answered;
                     all.count_down();
                 }});
        }
    };
    connections.submit({.command = words({"PING"}), .done = submit_all});  // all in one write
    all.wait();
    CHECK(answered == 100);
    CHECK(ask(connections, with_argument(script, "n", "0"), "", &script).numbers == std::vector<std::int64_t>{100});
    CHECK(calls(server, "script|load") == "1");
    REQUIRE_FALSE(server.ask({"SCRIPT", "FLUSH"}).starts_with("-"));
    CHECK(ask(connections, with_argument(script, "n", "1"), "", &script).numbers == std::vector<std::int64_t>{101});
    CHECK(calls(server, "script|load") == "2");
    const Script broken{"not a script"};
    CHECK_THAT(ask(connections, with_argument(broken, "n", "1"), "", &broken).text, ContainsSubstring("compiling"));
}

TEST_CASE("a killed server is down at once, and up again when it has come back") {
    RedisServer server;
    RedisRecorder recorder;
    Connections connections{patient(server), recorder};
    REQUIRE(ask(connections, words({"PING"})).ok());
    recorder.wait_for("up");
    server.kill();
    recorder.wait_for("down");
    CHECK_FALSE(connections.is_up());
    CHECK(ask(connections, words({"PING"})).kind == Kind::unreachable);
    server.restart();
    recorder.wait_for("up");
    CHECK(ask(connections, words({"PING"})).ok());
    const auto infos = recorder.infos();
    REQUIRE(infos.size() == 2);
    CHECK(infos[0].run_id != infos[1].run_id);
}

TEST_CASE("a server that hangs costs those who wait the command timeout, and nobody else anything") {
    const RedisServer server;
    RedisRecorder recorder;
    auto options = impatient(server);
    options.heartbeat_interval = 1h;
    Connections connections{options, recorder};
    REQUIRE(ask(connections, words({"PING"})).ok());
    recorder.wait_for("up");
    std::this_thread::sleep_for(300ms);  // nothing is due any more
    server.stop();
    const auto began = bw::SteadyClock{}.now();
    CHECK(ask(connections, words({"PING"})).kind == Kind::timed_out);
    const auto took = bw::SteadyClock{}.now() - began;
    CHECK(took >= 200ms);
    CHECK(took < 5s);
    CHECK(recorder.wait_for("down") == "down: no answer within 200ms");
    CHECK(ask(connections, words({"PING"})).kind == Kind::unreachable);  // a connection is made, and not answered
    server.proceed();
    recorder.wait_for("up");
    CHECK(ask(connections, words({"PING"})).ok());
}

TEST_CASE("a hung server that nobody uses is noticed by its heartbeat") {
    const RedisServer server;
    RedisRecorder recorder;
    Connections connections{impatient(server), recorder};
    connections.start();
    recorder.wait_for("up");
    server.stop();
    CHECK(recorder.wait_for("down") == "down: no answer within 200ms");
    server.proceed();
    recorder.wait_for("up");
}

TEST_CASE("a server that takes longer than the command timeout does not come up") {
    const RedisServer server{{.config = {"enable-debug-command yes"}}};
    RedisRecorder recorder;
    auto options = impatient(server);
    options.heartbeat_interval = 1h;
    Connections connections{options, recorder};
    REQUIRE(ask(connections, words({"PING"})).ok());
    std::latch both{2};
    std::vector<Kind> kinds;
    const auto note = [&](Reply&& reply) {
        kinds.push_back(reply.kind);
        both.count_down();
    };
    connections.submit({.command = words({"DEBUG", "SLEEP", "1.5"}), .done = note});
    std::this_thread::sleep_for(100ms);
    connections.submit({.command = words({"PING"}), .done = note});
    both.wait();
    CHECK(kinds == std::vector{Kind::timed_out, Kind::disconnected});
    recorder.wait_for("down");
    recorder.wait_for("up");
    CHECK(ask(connections, words({"PING"})).ok());
}

TEST_CASE("a server that takes no writes is down until it does") {
    const RedisServer server;
    RedisRecorder recorder;
    Connections connections{patient(server), recorder};
    REQUIRE(ask(connections, words({"PING"})).ok());
    recorder.wait_for("up");
    SECTION("because it is full") {
        REQUIRE(server.ask({"CONFIG", "SET", "maxmemory", "1"}) == "+OK\r\n");
        CHECK_THAT(recorder.wait_for("down"), ContainsSubstring("OOM"));
        REQUIRE(server.ask({"CONFIG", "SET", "maxmemory", "0"}) == "+OK\r\n");
    }
    SECTION("because it is a replica") {
        REQUIRE(server.ask({"REPLICAOF", "127.0.0.1", "1"}) == "+OK\r\n");
        CHECK_THAT(recorder.wait_for("down"), ContainsSubstring("READONLY"));
        REQUIRE(server.ask({"REPLICAOF", "NO", "ONE"}) == "+OK\r\n");
    }
    SECTION("because it has too few replicas") {
        REQUIRE(server.ask({"CONFIG", "SET", "min-replicas-to-write", "1"}) == "+OK\r\n");
        CHECK_THAT(recorder.wait_for("down"), ContainsSubstring("NOREPLICAS"));
        REQUIRE(server.ask({"CONFIG", "SET", "min-replicas-to-write", "0"}) == "+OK\r\n");
    }
    recorder.wait_for("up");
    CHECK(ask(connections, words({"SET", "k", "v"})).ok());
}

TEST_CASE("a script that runs for too long makes the server busy, which is down") {
    const RedisServer server{{.config = {"busy-reply-threshold 10"}}};
    RedisRecorder recorder;
    Connections connections{patient(server), recorder};
    REQUIRE(ask(connections, words({"PING"})).ok());
    std::jthread endless{[&] { (void)server.ask({"EVAL", "while true do end", "0"}); }};
    CHECK_THAT(recorder.wait_for("down"), ContainsSubstring("BUSY"));
    REQUIRE(server.ask({"SCRIPT", "KILL"}) == "+OK\r\n");
    recorder.wait_for("up");
}

TEST_CASE("a process writes its heartbeat under its own key, with a TTL") {
    const RedisServer server;
    RedisRecorder recorder;
    Connections connections{patient(server), recorder, "me"};
    REQUIRE(ask(connections, words({"GET", "breakwater:instance:me"})).text == std::to_string(::getpid()));
    const auto left = ask(connections, words({"PTTL", "breakwater:instance:me"})).numbers;
    REQUIRE(left.size() == 1);
    CHECK(left[0] > 0);
    CHECK(left[0] <= 500);
}

TEST_CASE("what is published to a channel arrives, also after the connection for pushes was lost") {
    const RedisServer server;
    RedisRecorder recorder;
    Connections connections{patient(server), recorder};
    connections.subscribe("breakwater:a");
    recorder.wait_for("subscribed breakwater:a");
    recorder.wait_for("fresh");
    CHECK(server.ask({"PUBLISH", "breakwater:a", "one"}) == ":1\r\n");
    recorder.wait_for("push breakwater:a: one");
    connections.subscribe("breakwater:b");
    recorder.wait_for("subscribed breakwater:b");
    CHECK(server.ask({"PUBLISH", "breakwater:b", "two"}) == ":1\r\n");
    recorder.wait_for("push breakwater:b: two");
    REQUIRE(server.ask({"CLIENT", "KILL", "TYPE", "pubsub"}) == ":1\r\n");
    recorder.wait_for("stale: the server closed the connection");
    recorder.wait_for("subscribed breakwater:a");
    recorder.wait_for("subscribed breakwater:b");
    recorder.wait_for("fresh");
    CHECK(connections.is_up());
    CHECK(server.ask({"PUBLISH", "breakwater:a", "three"}) == ":1\r\n");
    recorder.wait_for("push breakwater:a: three");
    connections.unsubscribe("breakwater:a");
    while (server.ask({"PUBLISH", "breakwater:a", "four"}) != ":0\r\n") std::this_thread::sleep_for(1ms);
    std::this_thread::sleep_for(200ms);  // a few pings
    CHECK(server.ask({"PUBLISH", "breakwater:b", "five"}) == ":1\r\n");
    recorder.wait_for("push breakwater:b: five");
}

TEST_CASE("pushes are stale while the server hangs") {
    const RedisServer server;
    RedisRecorder recorder;
    auto options = impatient(server);
    options.heartbeat_interval = 1h;
    Connections connections{options, recorder};
    connections.subscribe("breakwater:a");
    recorder.wait_for("fresh");
    server.stop();
    CHECK_THAT(recorder.wait_for("stale"), ContainsSubstring("no answer to PING"));
    server.proceed();
    recorder.wait_for("fresh");
}

TEST_CASE("a user who may not subscribe still commands, and an event names the ACL line that is missing") {
    const RedisServer server{
        {.config = {"user ann on >hush ~* resetchannels +@all", "user bob on >hush ~* &* +@all -subscribe"}}};
    RedisRecorder recorder;
    auto options = patient(server);
    SECTION("to the channel") {
        options.url = "unix://ann:hush@" + server.socket();
        Connections connections{options, recorder};
        connections.subscribe("breakwater:a");
        CHECK_THAT(recorder.wait_for("stale"), ContainsSubstring("ACL SETUSER ann &breakwater:*"));
        CHECK(ask(connections, words({"PING"})).ok());
        CHECK(recorder.events().size() == 2);
    }
    SECTION("at all") {
        options.url = "unix://bob:hush@" + server.socket();
        Connections connections{options, recorder};
        connections.subscribe("breakwater:a");
        CHECK_THAT(recorder.wait_for("stale"), ContainsSubstring("ACL SETUSER bob +subscribe"));
        CHECK(ask(connections, words({"PING"})).ok());
    }
}

TEST_CASE("a user who may not ask for INFO has a connection without a run id") {
    const RedisServer server{{.config = {"user ann on >hush ~breakwater:* &breakwater:* +set +time +ping +echo"}}};
    RedisRecorder recorder;
    auto options = patient(server);
    options.url = "unix://ann:hush@" + server.socket();
    Connections connections{options, recorder};
    CHECK(ask(connections, words({"ECHO", "x"})).text == "x");
    CHECK(recorder.infos().at(0).run_id.empty());
}

TEST_CASE("the timer wakes the handler, once") {
    const RedisServer server;
    RedisRecorder recorder;
    Connections connections{patient(server), recorder};
    connections.wake_at(bw::SteadyClock{}.now() + 20ms);
    recorder.wait_for("timer");
    connections.wake_at(bw::SteadyClock{}.now() + 1h);
    connections.wake_at(bw::SteadyClock{}.now());
    recorder.wait_for("timer");
}

TEST_CASE("what is under way when the connections end is unreachable") {
    const RedisServer server;
    RedisRecorder recorder;
    auto connections = std::make_unique<Connections>(patient(server), recorder);
    REQUIRE(ask(*connections, words({"PING"})).ok());
    std::optional<Kind> kind;
    connections->submit({.command = words({"BLPOP", "nothing", "0"}), .done = [&](Reply&& r) { kind = r.kind; }});
    connections.reset();
    CHECK(kind == Kind::unreachable);
}

TEST_CASE("the connections may end on their own thread") {
    class Ender : public bw::redis::Handler {
    public:
        void on_timer() override { connections.reset(); }
        std::unique_ptr<Connections> connections;
    };
    const RedisServer server;
    Ender ender;
    ender.connections = std::make_unique<Connections>(patient(server), ender);
    std::binary_semaphore ended{0};
    Kind kind{};
    ender.connections->submit({.command = words({"BLPOP", "nothing", "0"}), .done = [&](Reply&& reply) {
                                   kind = reply.kind;
                                   ended.release();
                               }});
    ender.connections->wake_at(bw::SteadyClock{}.now() + 50ms);
    ended.acquire();
    CHECK(kind == Kind::unreachable);
    CHECK(ender.connections == nullptr);
}

TEST_CASE("in the child of a fork inherited connections refuse, and end without waiting") {
    const RedisServer server;
    RedisRecorder recorder;
    auto connections = std::make_unique<Connections>(patient(server), recorder);
    REQUIRE(ask(*connections, words({"PING"})).ok());
    const pid_t child = ::fork();
    if (child == 0) {
        ::alarm(10);
        std::optional<Kind> kind;
        connections->submit({.command = words({"PING"}), .done = [&](Reply&& reply) { kind = reply.kind; }});
        const bool ok = kind == Kind::unreachable && connections->is_forked() && !connections->is_up();
        connections.reset();
        ::_exit(ok ? 0 : 1);
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 0);
    CHECK(ask(*connections, words({"PING"})).ok());
    CHECK_FALSE(connections->is_forked());
}

TEST_CASE("writing to a server that has hung up raises no signal") {
    struct sigaction before;
    struct sigaction by_default{};
    by_default.sa_handler = SIG_DFL;
    ::sigaction(SIGPIPE, &by_default, &before);
    RedisServer server;
    RedisRecorder recorder;
    {
        Connections connections{patient(server), recorder};
        REQUIRE(ask(connections, words({"PING"})).ok());
        std::latch both{2};
        const auto end = [&](Reply&&) { both.count_down(); };
        connections.submit({.command = words({"PING"}), .done = [&](Reply&&) {  // on the I/O thread, before it reads on
                                server.kill();
                                connections.submit({.command = words({"PING"}), .done = end});
                                connections.submit({.command = words({"PING"}), .done = end});
                            }});
        both.wait();
        recorder.wait_for("down");
    }
    ::sigaction(SIGPIPE, &before, nullptr);
}

TEST_CASE("what is no Redis server is down") {
    const auto server = bw::test::RawServer::answering("HTTP/1.1 400 Bad Request\r\n\r\n");
    RedisRecorder recorder;
    Connections connections{{.url = "redis://127.0.0.1:" + std::to_string(server->port())}, recorder};
    connections.start();
    recorder.wait_for("down");
}

TEST_CASE("a name that does not resolve is an event") {
    RedisRecorder recorder;
    Connections connections{{.url = "redis://no-such-host.invalid"}, recorder};
    CHECK(ask(connections, words({"PING"})).kind == Kind::unreachable);
    CHECK_THAT(recorder.wait_for("down"), ContainsSubstring("resolve"));
}

TEST_CASE("idle connections do not use the processor") {
    const RedisServer server;
    RedisRecorder recorder;
    auto options = patient(server);
    options.ping_interval = options.heartbeat_interval = 1s;
    Connections connections{options, recorder};
    connections.subscribe("breakwater:a");
    recorder.wait_for("fresh");
    const auto used = [] {
        rusage usage{};
        ::getrusage(RUSAGE_SELF, &usage);
        return std::chrono::seconds{usage.ru_utime.tv_sec + usage.ru_stime.tv_sec} +
               std::chrono::microseconds{usage.ru_utime.tv_usec + usage.ru_stime.tv_usec};
    };
    const auto reads = [] { return system_calls("/proc/self/io", "syscr:"); };
    const auto used_before = used();
    const int reads_before = reads();
    std::this_thread::sleep_for(500ms);
    CHECK(reads() - reads_before < 100);
    CHECK(used() - used_before < 250ms);
}

TEST_CASE("connections that come and go leave no descriptors and no threads") {
    const RedisServer server;
    const auto count = [](const char* directory) {
        return std::distance(std::filesystem::directory_iterator{directory}, {});
    };
    const auto once = [&] {
        RedisRecorder recorder;
        Connections connections{patient(server), recorder};
        connections.subscribe("breakwater:a");
        recorder.wait_for("fresh");
    };
    once();
    const auto descriptors = count("/proc/self/fd");
    const auto threads = count("/proc/self/task");
    for (int i = 0; i < 5; ++i) once();
    CHECK(count("/proc/self/fd") == descriptors);
    CHECK(count("/proc/self/task") == threads);
}
