#pragma once

#include <breakwater/store/redis/reply.hpp>
#include <breakwater/store/redis/words.hpp>

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include <unistd.h>
#include <breakwater/clock.hpp>

namespace breakwater::redis {

/// The processes of a fleet, as a server knows them: a sorted set of "number host pid" by when each was last seen (ms
/// since 1970), which forgets who has not been seen for `Members::memory`. Beside it the *epoch*, a number drawn by the
/// first who came: when it is another one, the server has lost what it kept.
class Members {
public:
    static constexpr Duration memory = std::chrono::seconds{10};

    Members(std::string prefix, std::uint64_t instance)
        : prefix_{std::move(prefix)},
          self_{std::to_string(instance) + " " + host() + " " + std::to_string(::getpid())},
          instance_{instance} {}

    /// Says that this process lives.
    Words heartbeat(std::string_view tag) {
        // The epoch outlives a fleet's nights: as long as it is there, so is all else that has not expired by itself.
        static constexpr std::string_view script =
            "local t = redis.call('TIME')\n"
            "local ms = t[1] * 1000 + math.floor(t[2] / 1000)\n"
            "redis.call('ZADD', KEYS[1], string.format('%.0f', ms), ARGV[1])\n"
            "redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', ms - ARGV[2]))\n"
            "redis.call('PEXPIRE', KEYS[1], ARGV[2] * 10)\n"
            "redis.call('SET', KEYS[2], ARGV[3], 'NX')\n"
            "redis.call('PEXPIRE', KEYS[2], 604800000)\n"
            "return {redis.call('ZCARD', KEYS[1]), tonumber(redis.call('GET', KEYS[2]))}\n";
        const std::string suffix = tag.empty() ? std::string{} : "{" + std::string{tag} + "}";
        return Words{}
            .add("EVAL")
            .add(script)
            .add(std::int64_t{2})
            .add(prefix_ + "members" + suffix)
            .add(prefix_ + "epoch" + suffix)
            .add(self_)
            .add(std::int64_t{memory / std::chrono::milliseconds{1}})
            .add(static_cast<std::int64_t>(instance_ + ++beats_));
    }

private:
    static std::string host() {
        char name[256] = {};
        if (::gethostname(name, sizeof name - 1) != 0) return "unknown";
        for (char& c : name)
            if (c == ' ' || (c > 0 && c < ' ')) c = '_';
        return name;
    }

    const std::string prefix_;
    const std::string self_;
    const std::uint64_t instance_;
    std::uint64_t beats_ = 0;  // no two draws of an epoch are alike
};

}  // namespace breakwater::redis
