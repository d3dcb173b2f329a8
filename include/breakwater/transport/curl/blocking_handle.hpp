#pragma once

#include <breakwater/http/request.hpp>
#include <breakwater/http/response.hpp>
#include <breakwater/result.hpp>
#include <breakwater/timeline.hpp>
#include <breakwater/transport/curl/easy_handle.hpp>
#include <breakwater/transport/curl/global.hpp>
#include <breakwater/transport/curl/last_told.hpp>
#include <breakwater/transport/curl/options.hpp>
#include <breakwater/transport/transport.hpp>

#include <curl/curl.h>

#include <memory>
#include <new>
#include <optional>
#include <stop_token>

namespace breakwater::curl {

/// An easy handle with a multi handle of its own, which keeps its connections and makes it interruptible.
///
/// `curl_easy_perform` does the same inside, but looks up only once a second and cannot be woken.
class BlockingHandle {
public:
    explicit BlockingHandle(const CurlOptions& options)
        : multi_{curl_multi_init()}, last_told_{options.user_agent}, easy_{options, last_told_} {
        if (!multi_) throw std::bad_alloc{};
    }

    /// Makes one exchange. One thread at a time.
    Result<Response> exchange(const Request& request, const SendOptions& options) {
        opened_.reset();
        if (auto ready = easy_.prepare(request, options); !ready) return fail(std::move(ready.error()));
        std::optional<SigpipeGuard> guard;
        if (easy_.uses_tls()) guard.emplace();
        std::optional<std::stop_callback<Wake>> wake;
        if (options.stop.stop_possible()) wake.emplace(options.stop, Wake{multi_.get()});
        const Attached attached{multi_.get(), easy_.get()};
        auto result = run(options.stop);
        opened_ = easy_.connections_opened();
        if (result) result->connection = *opened_ > 0 ? ConnectionUse::opened : ConnectionUse::reused;
        return result;
    }

    /// How many connections the last exchange has opened; nullopt if its request was refused beforehand.
    std::optional<long> connections_opened() const noexcept { return opened_; }

private:
    struct Wake {
        CURLM* multi;
        void operator()() const noexcept { curl_multi_wakeup(multi); }
    };
    struct Attached {
        Attached(CURLM* m, CURL* e) : multi{m}, easy{e} { curl_multi_add_handle(multi, easy); }
        ~Attached() { curl_multi_remove_handle(multi, easy); }  // breaks off what is not done
        Attached(const Attached&) = delete;
        Attached& operator=(const Attached&) = delete;
        CURLM* multi;
        CURL* easy;
    };
    struct Cleanup {
        void operator()(CURLM* multi) const noexcept {
            const SigpipeGuard guard;  // TLS says goodbye
            curl_multi_cleanup(multi);
        }
    };

    Result<Response> run(const std::stop_token& stop) {
        for (;;) {
            int running = 0;
            CURLMcode state = curl_multi_perform(multi_.get(), &running);
            if (state == CURLM_OK && running == 0) break;
            if (stop.stop_requested()) return fail(easy_.cancelled());
            // libcurl wakes up earlier for its own timers: the timeouts among them.
            if (state == CURLM_OK) state = curl_multi_poll(multi_.get(), nullptr, 0, 1000, nullptr);
            if (state != CURLM_OK) return fail(Errc::transport_failed, curl_multi_strerror(state));
        }
        int left = 0;
        const CURLMsg* message = curl_multi_info_read(multi_.get(), &left);
        return std::move(*easy_.finish(message != nullptr ? message->data.result : CURLE_FAILED_INIT));
    }

    std::unique_ptr<CURLM, Cleanup> multi_;  // outlives the easy handle, which is detached by then
    LastTold last_told_;
    EasyHandle easy_;
    std::optional<long> opened_;
};

}  // namespace breakwater::curl
