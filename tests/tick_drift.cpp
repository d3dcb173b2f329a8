// How far the tick clock strays from the steady clock: tick_drift [SECONDS]. Fails if that is more than it promises, or
// if it goes backwards.
#include <breakwater/tick_clock.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>

namespace bw = breakwater;

int main(int argc, char** argv) {
    const long seconds = argc > 1 ? std::strtol(argv[1], nullptr, 10) : 30;
    if (seconds < 1) {
        std::fputs("tick_drift: SECONDS must be at least 1\n", stderr);
        return 2;
    }
    const bw::SteadyClock steady;
    const bw::TickClock tick;
    const bw::Instant end = steady.now() + std::chrono::seconds{seconds};
    bw::Duration strayed{0};
    bw::Instant last = tick.now();
    bool forward = true;
    for (bw::Instant before = steady.now(); before < end; before = steady.now()) {
        for (int i = 0; i < 100; ++i) {
            before = steady.now();
            const bw::Instant now = tick.now();
            const bw::Instant after = steady.now();
            strayed = std::max({strayed, before - now, now - after});
            forward = forward && now >= last;
            last = now;
        }
        tick.wait_until(last + std::chrono::milliseconds{1}, {});
    }
    std::printf("figure | us the tick clock strayed from the steady clock | <= 1000 | %.3f\n",
                static_cast<double>(strayed.count()));
    std::printf("in %ld s, %s\n", seconds, tick.uses_counter() ? "by the counter" : "by the steady clock itself");
    if (!forward) std::puts("it went backwards");
    return forward && strayed <= std::chrono::milliseconds{1} ? 0 : 1;
}
