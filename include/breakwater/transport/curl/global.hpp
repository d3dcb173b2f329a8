#pragma once

#include <breakwater/errc.hpp>
#include <breakwater/error.hpp>

#include <curl/curl.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>

#include <string>

namespace breakwater::curl {

static_assert(LIBCURL_VERSION_NUM >= 0x075700, "breakwater needs libcurl 7.87 or newer (CURLOPT_QUICK_EXIT)");

/// Initialises libcurl once per process; any thread may call it at any time.
///
/// There is no clean-up to match: another user of libcurl may still be at work when the last transport dies, and what
/// libcurl keeps is a bounded few kilobytes.
inline void initialize() {
    static const CURLcode done = curl_global_init(CURL_GLOBAL_DEFAULT);
    if (done != CURLE_OK) throw Exception{Error{Errc::transport_failed, curl_easy_strerror(done)}};
}

/// The content codings this libcurl can undo, of those that servers use.
inline std::string accepted_encodings() {
    const int features = curl_version_info(CURLVERSION_NOW)->features;
    std::string names;
    if (features & CURL_VERSION_LIBZ) names += "gzip";
    if (features & CURL_VERSION_BROTLI) names += names.empty() ? "br" : ", br";
    return names.empty() ? "identity" : names;
}

/// Keeps a SIGPIPE that a TLS library's write may raise in this thread away from the program.
///
/// libcurl's own way is to change the signal's disposition of the whole process and back around every step, which races
/// with other threads; `CURLOPT_NOSIGNAL` turns that off. Plain sockets are written with MSG_NOSIGNAL and need no
/// guard.
class SigpipeGuard {
public:
    SigpipeGuard() noexcept {
        sigemptyset(&sigpipe_);
        sigaddset(&sigpipe_, SIGPIPE);
        sigset_t pending;
        sigpending(&pending);
        if (sigismember(&pending, SIGPIPE)) return;  // blocked and already due: not ours to take away
        sigset_t before;
        pthread_sigmask(SIG_BLOCK, &sigpipe_, &before);
        was_blocked_ = sigismember(&before, SIGPIPE) == 1;
        active_ = true;
    }
    ~SigpipeGuard() {
        if (!active_) return;
        constexpr timespec at_once{};
        while (sigtimedwait(&sigpipe_, nullptr, &at_once) == SIGPIPE) {
        }
        if (!was_blocked_) pthread_sigmask(SIG_UNBLOCK, &sigpipe_, nullptr);
    }
    SigpipeGuard(const SigpipeGuard&) = delete;
    SigpipeGuard& operator=(const SigpipeGuard&) = delete;

private:
    sigset_t sigpipe_;
    bool was_blocked_ = false;
    bool active_ = false;
};

}  // namespace breakwater::curl
