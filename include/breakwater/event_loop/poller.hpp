#pragma once

#if defined(__linux__) && !defined(BREAKWATER_POLL)
#include <breakwater/event_loop/poller/epoll.hpp>
#else
#include <breakwater/event_loop/poller/poll.hpp>
#endif

namespace breakwater {

/// Descriptors and who watches them. Not thread-safe.
///
/// - `watch(descriptor, interest, watcher)`: from now on; replaces what was said of it before.
/// - `forget(descriptor)` has to come before the descriptor is closed: the number may be another's soon, and a forked
///   process may keep what it stood for open.
/// - `wait(until)` waits until a descriptor is ready, or until then (of `SteadyClock`; nullopt: however long it takes).
/// - `dispatch()` tells the watchers what the last `wait` has found.
/// - `controls()`: how often the kernel was told. For benchmarks and tests.
///
/// By epoll on Linux, by poll elsewhere and where `BREAKWATER_POLL` is defined in the whole program.
#if defined(__linux__) && !defined(BREAKWATER_POLL)
using Poller = EpollPoller;
#else
using Poller = PollPoller;
#endif

}  // namespace breakwater
