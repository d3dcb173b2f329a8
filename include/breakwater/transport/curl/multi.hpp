#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/event_loop.hpp>
#include <breakwater/event_loop/watcher.hpp>
#include <breakwater/transport/curl/options.hpp>
#include <breakwater/transport/curl/sockets.hpp>

#include <curl/curl.h>

#include <chrono>
#include <cstddef>
#include <memory>
#include <new>
#include <optional>

namespace breakwater::curl {

/// One libcurl multi handle on an event loop, by libcurl's socket interface. On the loop's thread only.
class Multi final : private Watcher, private Timer, private Work {
public:
    class Owner {
    public:
        /// The transfer is over, and still to be removed. Not within a callback of libcurl's.
        virtual void on_done(CURL* easy, CURLcode verdict) noexcept = 0;

    protected:
        ~Owner() = default;
    };

    /// Keeps up to `max_kept` connections.
    Multi(EventLoop& loop, Sockets& sockets, Owner& owner, const CurlOptions& options, std::size_t max_kept)
        : loop_{loop}, sockets_{sockets}, owner_{owner}, multi_{curl_multi_init()} {
        if (!multi_) throw std::bad_alloc{};
        set(CURLMOPT_SOCKETFUNCTION, &Multi::on_socket);
        set(CURLMOPT_SOCKETDATA, this);
        set(CURLMOPT_TIMERFUNCTION, &Multi::on_timer);
        set(CURLMOPT_TIMERDATA, this);
        set(CURLMOPT_MAXCONNECTS, static_cast<long>(max_kept));
        if (options.max_connections) set(CURLMOPT_MAX_TOTAL_CONNECTIONS, static_cast<long>(*options.max_connections));
        if (options.max_connections_per_host)
            set(CURLMOPT_MAX_HOST_CONNECTIONS, static_cast<long>(*options.max_connections_per_host));
    }
    Multi(const Multi&) = delete;
    Multi& operator=(const Multi&) = delete;

    /// False if libcurl cannot. The transfer begins later in this turn of the loop, together with others.
    bool add(CURL* easy) noexcept {
        if (curl_multi_add_handle(multi_.get(), easy) != CURLM_OK) return false;
        ++in_flight_;
        return true;
    }
    /// Breaks off what is not done.
    void remove(CURL* easy) noexcept {
        curl_multi_remove_handle(multi_.get(), easy);
        --in_flight_;
    }
    std::size_t in_flight() const noexcept { return in_flight_; }

    /// Closes all connections. Nothing may be in flight, and nothing is added any more. What it has posted is still to
    /// run before it is destroyed.
    void close() noexcept {
        multi_.reset();
        if (timer_due_) loop_.cancel(*this);
        timer_due_.reset();
    }

private:
    struct Cleanup {
        void operator()(CURLM* multi) const noexcept {
            curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, nullptr);
            curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, nullptr);
            curl_multi_cleanup(multi);
        }
    };

    template <class Value>
    void set(CURLMoption option, Value value) {
        curl_multi_setopt(multi_.get(), option, value);
    }

    static int on_socket(CURL*, curl_socket_t socket, int what, void* self, void*) noexcept {
        auto& own = *static_cast<Multi*>(self);
        try {
            switch (what) {
                case CURL_POLL_IN: own.sockets_.want(socket, Interest::read, own); break;
                case CURL_POLL_OUT: own.sockets_.want(socket, Interest::write, own); break;
                case CURL_POLL_INOUT: own.sockets_.want(socket, Interest::both, own); break;
                default: own.sockets_.unwant(socket, own);
            }
        } catch (const std::bad_alloc&) {  // must not travel through C
            return -1;
        }
        return 0;
    }

    /// libcurl wants to be called then. It changes its mind with every exchange; mostly for later, which is looked at
    /// when the timer that is set already goes off.
    static int on_timer(CURLM*, long milliseconds, void* self) noexcept {
        auto& own = *static_cast<Multi*>(self);
        own.due_.reset();
        if (milliseconds == 0) {
            own.kick();
        } else if (milliseconds > 0) {
            own.due_ = SteadyClock{}.now() + std::chrono::milliseconds{milliseconds};
            own.set_timer();
        }
        return 0;
    }
    void set_timer() noexcept {
        if (timer_due_ && *timer_due_ <= *due_) return;
        if (timer_due_) loop_.cancel(*this);
        timer_due_ = due_;
        loop_.set(*this, *due_);
    }
    void on_time() noexcept override {
        timer_due_.reset();
        if (!due_) return;
        if (SteadyClock{}.now() < *due_) return set_timer();
        due_.reset();
        act(CURL_SOCKET_TIMEOUT, 0);
    }

    void kick() noexcept {
        if (is_kicked_) return;
        is_kicked_ = true;
        loop_.post(*this);
    }
    void run() noexcept override {
        is_kicked_ = false;
        if (multi_) act(CURL_SOCKET_TIMEOUT, 0);
    }

    void on_ready(int socket, Ready ready) noexcept override {
        act(socket, (ready.to_read ? CURL_CSELECT_IN : 0) | (ready.to_write ? CURL_CSELECT_OUT : 0) |
                        (ready.is_broken ? CURL_CSELECT_ERR : 0));
    }

    void act(curl_socket_t socket, int bits) noexcept {
        int left = 0;
        curl_multi_socket_action(multi_.get(), socket, bits, &left);
        while (const CURLMsg* message = curl_multi_info_read(multi_.get(), &left))
            owner_.on_done(message->easy_handle, message->data.result);
    }

    EventLoop& loop_;
    Sockets& sockets_;
    Owner& owner_;
    std::unique_ptr<CURLM, Cleanup> multi_;
    std::size_t in_flight_ = 0;
    std::optional<Instant> due_;        // when libcurl wants to be called
    std::optional<Instant> timer_due_;  // when the timer goes off: not later
    bool is_kicked_ = false;
};

}  // namespace breakwater::curl
