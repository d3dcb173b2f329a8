#include "store_contract.hpp"

#include <breakwater/store/redis.hpp>

#include <redis_server.hpp>

#include <chrono>
#include <string>
#include <thread>

namespace bw = breakwater;
using namespace std::chrono_literals;

namespace {

/// A store on a server of its own.
struct RedisWorld {
    static constexpr bw::Duration unit = 500ms;
    static constexpr int thread_rounds = 200;

    bw::test::RedisServer server;
    // Under sanitizers and on a busy machine an answer takes its time.
    bw::RedisStore store{
        {.url = "unix://" + server.socket(), .command_timeout = 5s, .secret = "0123456789abcdef0123456789abcdef"}};

    // The server's clock is known to within a round trip only, which takes its time on a busy machine.
    static void advance(bw::Duration by) { std::this_thread::sleep_for(by + 100ms); }
};

}  // namespace

TEST_CASE("RedisStore keeps the promises of the concept Store") { bw::test::check_store_contract<RedisWorld>(); }
