#pragma once

#include <pthread.h>
#include <signal.h>

#include <initializer_list>

namespace breakwater::detail {

/// Blocks in this thread, and in those started meanwhile, the signals that are meant for the program: SIGPIPE, which
/// hiredis's `write` raises, and all others but those of a fault and of a profiler.
class BlockedSignals {
public:
    BlockedSignals() noexcept {
        sigset_t all;
        sigfillset(&all);
        for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS, SIGPROF})
            sigdelset(&all, fault);
        pthread_sigmask(SIG_SETMASK, &all, &before_);
    }
    ~BlockedSignals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
    BlockedSignals(const BlockedSignals&) = delete;
    BlockedSignals& operator=(const BlockedSignals&) = delete;

private:
    sigset_t before_;
};

}  // namespace breakwater::detail
