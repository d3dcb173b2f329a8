#pragma once

#include <breakwater/result.hpp>
#include <breakwater/store/fleet.hpp>
#include <breakwater/store/redis/link.hpp>
#include <breakwater/store/redis/options.hpp>

#include <utility>

namespace breakwater {

/// State that the processes of a fleet share, in Redis (from 6.2; tested with 7.0) or a Redis Cluster.
///
///     bw::ResilientClient client{options, bw::CurlTransport{}, bw::RedisStore{{.url = "redis://127.0.0.1:6379/0"}}};
///
/// What is asked of the server: nothing for a call through a closed circuit, whose outcomes are reported every
/// `flush_interval`; one round trip for a permit of a rate limiter, or for `lease` of them, and one for a half-open
/// circuit's probe, which are the same one for all policies of an attempt; one for a probe's verdict; one for a look
/// into the shared cache, and one more when it is first seen that a URL's answers vary. One connection for commands and
/// one for what others tell, for all threads together. A server that cannot be reached is an event, never an error: see
/// `RedisStoreOptions::on_store_failure`.
///
/// Thread-safe; copies share everything. Connects when its first policy is made; in a program that forks, make stores
/// after that. One store for a program is enough, and what it shares goes by the policies' names, which must be given.
class RedisStore : public FleetStore<redis::RedisLink> {
public:
    /// Throws `Exception` (`invalid_options`) naming the field if the options are wrong.
    explicit RedisStore(const RedisStoreOptions& options = {}) : FleetStore{shared(options), options} {}

    /// As the constructor, without throwing.
    static Result<RedisStore> make(const RedisStoreOptions& options = {}) {
        if (auto ok = validate(options); !ok) return fail(std::move(ok).error());
        return RedisStore{options};
    }

private:
    static fleet::Options shared(const RedisStoreOptions& options) {
        if (auto ok = validate(options); !ok) throw_error(ok.error());
        return {.prefix = options.prefix,
                .flush_interval = options.flush_interval,
                .poll_interval = options.ping_interval,
                .lease = options.lease,
                .min_reporters = options.min_reporters,
                .on_store_failure = options.on_store_failure,
                .observer = options.observer};
    }
};

}  // namespace breakwater
