// Eight workers call a supplier that fails: once each worker for itself, once with what they learn shared in Redis.
//
//   redis_fleet [--cluster] [--quick]
//
// Both fleets go through the same troubles at the same time: the supplier goes down and comes back; the worker that
// probes it is killed; at last Redis itself is killed and comes back empty. --cluster: in a cluster of three masters
// and three replicas, where the master dies that keeps what is shared. --quick: the same in half the time.
//
// Exit status: 0; 1 if a call was lost or the show cannot go on; 2 if the command line is wrong.
#include <chrono>
#include <cstdio>
#include <exception>
#include <iostream>
#include <optional>
#include <string_view>

#include "figures.hpp"
#include "fleet.hpp"
#include "redis.hpp"
#include "show.hpp"
#include "timeline.hpp"

int main(int argc, char** argv) try {
    using namespace redis_fleet;
    auto kind = Redis::Kind::one_server;
    double haste = 1;
    for (int i = 1; i < argc; ++i) {
        const std::string_view word = argv[i];
        if (word == "--cluster") {
            kind = Redis::Kind::cluster;
        } else if (word == "--quick") {
            haste = 2;
        } else {
            std::cerr << "usage: redis_fleet [--cluster] [--quick]\n";
            return 2;
        }
    }

    const Folder folder;
    Redis redis{kind, folder};
    bw::RedisStoreOptions store = redis.options();
    store.lease = 8;
    Fleet alone{"alone", folder, haste, std::nullopt};
    Fleet sharing{"sharing", folder, haste, store};
    const Script script = Show{alone, sharing, redis, haste}.run();

    const Timeline timeline{script, std::chrono::milliseconds{haste > 1 ? 125 : 250}};
    timeline.print_legend();
    std::printf("\n");
    timeline.print_scale();
    timeline.print_troubles();
    timeline.print("without sharing", alone, 0);
    timeline.print("with sharing", sharing, 1);

    const Figures without = figures(alone, script, 0);
    const Figures with = figures(sharing, script, 1);
    print(without, with, redis.commands(), Task{}.limit);
    return without.lost + with.lost == 0 ? 0 : 1;
} catch (const std::exception& error) {
    std::cerr << "redis_fleet: " << error.what() << '\n';
    return 1;
}
