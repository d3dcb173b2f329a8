#include <breakwater/store/redis/connections.hpp>

#include <catch_shim.hpp>
#include <redis_cluster.hpp>
#include <redis_recorder.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <set>
#include <sstream>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::redis::Connections;
using bw::redis::Reply;
using bw::redis::Script;
using bw::redis::slot_of;
using bw::redis::Words;
using bw::test::ask;
using bw::test::RedisCluster;
using bw::test::RedisRecorder;
using bw::test::words;
using Kind = bw::redis::Reply::Kind;

namespace {

bw::RedisStoreOptions patient(std::vector<std::string> nodes) {
    return {.nodes = std::move(nodes),
            .command_timeout = 5s,
            .connect_timeout = 5s,
            .ping_interval = 50ms,
            .heartbeat_interval = 50ms,
            .reconnect = {.base = 10ms, .cap = 50ms}};
}

/// SET, until the key's master takes it.
void set_when_up(Connections& connections, const std::string& key) {
    RedisCluster::wait_until([&] { return ask(connections, words({"SET", key, "v"}), key).ok(); });
}

}  // namespace

TEST_CASE("a key's slot is the one of its hash tag, as Redis Cluster has it") {
    STATIC_REQUIRE(slot_of("foo") == 12182);
    STATIC_REQUIRE(slot_of("{foo}bar") == 12182);
    STATIC_REQUIRE(slot_of("a{foo}{bar}") == 12182);
    STATIC_REQUIRE(slot_of("{}foo") == 9500);
    STATIC_REQUIRE(slot_of("") == 0);
}

TEST_CASE("in a cluster each command goes to the master of its key's slot") {
    RedisCluster cluster;
    RedisRecorder recorder;
    const auto check = [&](const bw::RedisStoreOptions& options, const std::string& value) {
        Connections connections{options, recorder, "me"};
        const Script script{"return redis.call('SET', KEYS[1], ARGV[1])"};
        for (int i = 0; i < 50; ++i) {
            const std::string key = "key:" + std::to_string(i);
            const Reply reply = ask(connections, words({"EVALSHA", script.sha1(), "1", key, value}), key, &script);
            INFO(key << ": " << reply.text);
            CHECK(reply.ok());
            CHECK(connections.is_up(key));
        }
        std::set<std::string> nodes;
        for (const auto& info : recorder.infos()) {
            nodes.insert(info.node);
            CHECK(info.is_cluster);
        }
        CHECK(nodes == std::set{cluster.address(0), cluster.address(1), cluster.address(2)});
        CHECK(ask(connections, words({"GET", "key:7"}), "key:7").text == value);
    };
    check(patient({cluster.url(0)}), "by a master");
    check(patient({cluster.url(4), cluster.url(5)}), "by a replica");
    check(patient({"redis://127.0.0.1:1", cluster.url(1)}), "by the second");
    auto single = patient({});
    single.url = cluster.url(2);
    check(single, "by the one URL");
    for (std::size_t i = 0; i < RedisCluster::masters; ++i)
        CHECK(cluster[i].ask({"KEYS", "breakwater:*instance:me"}).starts_with("*1"));
}

TEST_CASE("commands go on while a slot moves from one master to another") {
    RedisCluster cluster;
    std::size_t to = 1;
    SECTION("that keeps others") {}
    SECTION("that is new and keeps none") {
        cluster.add_master();
        to = 6;
    }
    RedisRecorder recorder;
    Connections connections{patient({cluster.url(0)}), recorder};
    const std::string a = RedisCluster::key_of(0, "a");
    const std::string b = RedisCluster::key_of(0, "b");
    const std::string slot = std::to_string(slot_of(a));
    set_when_up(connections, a);

    std::int64_t count = 0;
    int failed = 0;
    std::jthread load{[&](const std::stop_token& stop) {
        const std::string n = RedisCluster::key_of(0, "n");
        while (!stop.stop_requested()) {
            const Reply reply = ask(connections, words({"INCR", n}), n);
            if (!reply.ok() || reply.numbers != std::vector{++count}) ++failed;
        }
    }};
    const std::string target = cluster.id(to);
    cluster.must(to, {"CLUSTER", "SETSLOT", slot, "IMPORTING", cluster.id(0)});
    cluster.must(0, {"CLUSTER", "SETSLOT", slot, "MIGRATING", target});
    CHECK(ask(connections, words({"SET", b, "new"}), b).ok());  // not there yet: ASK

    // One key is at either side: TRYAGAIN, until the other has moved, too.
    std::atomic<bool> both_there{false};
    std::jthread both{[&] { both_there = ask(connections, words({"MGET", a, b}), a).ok(); }};
    std::this_thread::sleep_for(50ms);
    CHECK_FALSE(both_there);
    const std::string port = std::to_string(cluster[to].port());
    RedisCluster::wait_until([&] {
        const std::string keys = cluster[0].ask({"CLUSTER", "GETKEYSINSLOT", slot, "10"});
        if (keys.starts_with("*0")) return true;
        std::istringstream lines{keys};  // each key follows its length; the process's heartbeat is among them
        for (std::string line; std::getline(lines, line);) {
            if (line.ends_with('\r')) line.pop_back();
            if (line.find('{') != line.npos)
                (void)cluster[0].ask({"MIGRATE", "127.0.0.1", port, line, "0", "5000", "REPLACE"});
        }
        return false;
    });
    both.join();
    CHECK(both_there);
    for (const std::size_t node : {to, std::size_t{0}, std::size_t{2}})
        cluster.must(node, {"CLUSTER", "SETSLOT", slot, "NODE", target});
    CHECK(ask(connections, words({"GET", a}), a).text == "v");  // MOVED
    std::this_thread::sleep_for(300ms);
    load.request_stop();
    load.join();
    CHECK(count > 10);
    CHECK(failed == 0);
    CHECK(connections.is_up(a));
}

TEST_CASE("without one master the others go on, and its replica takes its place") {
    RedisCluster cluster;
    RedisRecorder recorder;
    Connections connections{patient({cluster.url(0), cluster.url(1)}), recorder};
    connections.subscribe("breakwater:a");
    recorder.wait_for("fresh");
    const std::string dead = RedisCluster::key_of(0);
    const std::string alive = RedisCluster::key_of(1);
    for (const std::string& key : {dead, alive, RedisCluster::key_of(2)}) set_when_up(connections, key);
    cluster[0].kill();
    recorder.wait_for("down");
    CHECK_FALSE(connections.is_up(dead));
    CHECK(ask(connections, words({"GET", dead}), dead).kind == Kind::unreachable);
    if (connections.is_up(alive)) CHECK(ask(connections, words({"GET", alive}), alive).kind != Kind::timed_out);

    set_when_up(connections, dead);
    set_when_up(connections, alive);
    CHECK(connections.is_up(dead));
    CHECK(recorder.infos().back().is_cluster);

    // Pushes reach everybody in the cluster, wherever they are published.
    RedisCluster::wait_until([&] {
        (void)cluster[2].ask({"PUBLISH", "breakwater:a", "hello"});
        const auto events = recorder.events();
        return std::ranges::count(events, "push breakwater:a: hello") > 0;
    });

    cluster[0].restart();  // as a replica of the one that has taken its place
    std::this_thread::sleep_for(200ms);
    set_when_up(connections, dead);
}

TEST_CASE("a cluster that is gone as a whole is found again by its seeds") {
    RedisCluster cluster;
    RedisRecorder recorder;
    Connections connections{patient({cluster.url(0)}), recorder};
    const std::string key = RedisCluster::key_of(2);
    set_when_up(connections, key);
    for (std::size_t i = 0; i < 6; ++i) cluster[i].stop();
    auto hung = patient({cluster.url(0)});
    hung.command_timeout = 200ms;
    {
        RedisRecorder other;
        Connections impatient{hung, other};
        CHECK(ask(impatient, words({"GET", key}), key).kind == Kind::unreachable);
        other.wait_for("down");
    }
    for (std::size_t i = 0; i < 6; ++i) cluster[i].kill();
    recorder.wait_for("down");
    RedisCluster::wait_until([&] { return !connections.is_up(); });
    for (std::size_t i = 0; i < 6; ++i) cluster[i].restart();
    set_when_up(connections, key);
}
