#pragma once

#include <curl/curl.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

namespace breakwater::bench {

inline void check(bool good) {
    if (good) return;
    std::fputs("a request failed\n", stderr);
    std::exit(1);
}

/// What a user would write without breakwater: as many easy handles as there are requests in flight, each made once and
/// added again as soon as its answer is there.
class HandWrittenLoop {
public:
    HandWrittenLoop(const std::string& url, const std::vector<std::string>& headers, std::size_t in_flight) {
        curl_multi_setopt(multi_.get(), CURLMOPT_MAXCONNECTS, static_cast<long>(in_flight));
        for (const std::string& header : headers) headers_.reset(curl_slist_append(headers_.release(), header.c_str()));
        for (std::size_t i = 0; i < in_flight; ++i) {
            auto slot = std::make_unique<Slot>();
            curl_easy_setopt(slot->easy.get(), CURLOPT_URL, url.c_str());
            curl_easy_setopt(slot->easy.get(), CURLOPT_HTTPHEADER, headers_.get());
            curl_easy_setopt(slot->easy.get(), CURLOPT_NOSIGNAL, 1L);
            curl_easy_setopt(slot->easy.get(), CURLOPT_TIMEOUT_MS, 10'000L);
            curl_easy_setopt(slot->easy.get(), CURLOPT_WRITEFUNCTION, &append);
            curl_easy_setopt(slot->easy.get(), CURLOPT_WRITEDATA, &slot->body);
            curl_easy_setopt(slot->easy.get(), CURLOPT_PRIVATE, slot.get());
            slots_.push_back(std::move(slot));
        }
    }
    HandWrittenLoop(const HandWrittenLoop&) = delete;
    HandWrittenLoop& operator=(const HandWrittenLoop&) = delete;
    virtual ~HandWrittenLoop() {
        for (const auto& slot : slots_) curl_multi_remove_handle(multi_.get(), slot->easy.get());
    }

    /// Makes so many requests, each with a body of so many bytes in its answer.
    void get(std::size_t requests, std::size_t body_bytes) {
        to_start_ = requests;
        to_finish_ = requests;
        body_bytes_ = body_bytes;
        for (const auto& slot : slots_) start(*slot);
        run();
    }

protected:
    virtual void run() = 0;
    CURLM* multi() const noexcept { return multi_.get(); }
    bool is_done() const noexcept { return to_finish_ == 0; }
    void take_answers() {
        int left = 0;
        while (CURLMsg* message = curl_multi_info_read(multi(), &left)) {
            char* own = nullptr;
            curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &own);
            auto& slot = *reinterpret_cast<Slot*>(own);
            check(message->data.result == CURLE_OK && slot.body.size() == body_bytes_);
            curl_multi_remove_handle(multi(), slot.easy.get());
            --to_finish_;
            start(slot);
        }
    }

private:
    struct Slot {
        std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> easy{curl_easy_init(), &curl_easy_cleanup};
        std::string body{};
    };

    void start(Slot& slot) {
        if (to_start_ == 0) return;
        --to_start_;
        slot.body.clear();
        curl_multi_add_handle(multi(), slot.easy.get());
    }
    static std::size_t append(char* data, std::size_t size, std::size_t count, void* body) {
        static_cast<std::string*>(body)->append(data, size * count);
        return size * count;
    }

    std::unique_ptr<CURLM, decltype(&curl_multi_cleanup)> multi_{curl_multi_init(), &curl_multi_cleanup};
    std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)> headers_{nullptr, &curl_slist_free_all};
    std::vector<std::unique_ptr<Slot>> slots_;
    std::size_t to_start_ = 0;
    std::size_t to_finish_ = 0;
    std::size_t body_bytes_ = 0;
};

/// By `curl_multi_poll`: libcurl asks poll(2) about all connections each time.
class PollLoop final : public HandWrittenLoop {
public:
    using HandWrittenLoop::HandWrittenLoop;

private:
    void run() override {
        int running = 0;
        while (!is_done()) {
            check(curl_multi_perform(multi(), &running) == CURLM_OK);
            take_answers();
            if (running > 0) curl_multi_poll(multi(), nullptr, 0, 1000, nullptr);
        }
    }
};

/// By the socket interface and epoll. libcurl wants and unwants a connection for every request; epoll is told only when
/// something is wanted that it does not watch for, or it reports what is not wanted.
class SocketLoop final : public HandWrittenLoop {
public:
    SocketLoop(const std::string& url, const std::vector<std::string>& headers, std::size_t in_flight)
        : HandWrittenLoop{url, headers, in_flight}, poll_{::epoll_create1(EPOLL_CLOEXEC)} {
        curl_multi_setopt(multi(), CURLMOPT_SOCKETFUNCTION, &on_socket);
        curl_multi_setopt(multi(), CURLMOPT_SOCKETDATA, this);
        curl_multi_setopt(multi(), CURLMOPT_TIMERFUNCTION, &on_timer);
        curl_multi_setopt(multi(), CURLMOPT_TIMERDATA, this);
    }
    ~SocketLoop() override {
        curl_multi_setopt(multi(), CURLMOPT_SOCKETFUNCTION, nullptr);
        curl_multi_setopt(multi(), CURLMOPT_TIMERFUNCTION, nullptr);
        ::close(poll_);
    }
    std::uint64_t controls() const noexcept { return controls_; }

private:
    struct Watched {
        std::uint32_t wanted = 0;
        std::uint32_t registered = 0;
        bool is_dirty = false;
    };

    static int on_socket(CURL*, curl_socket_t socket, int what, void* self, void*) {
        auto& own = *static_cast<SocketLoop*>(self);
        if (own.watched_.size() <= static_cast<std::size_t>(socket))
            own.watched_.resize(static_cast<std::size_t>(socket) + 1);
        Watched& watched = own.watched_[static_cast<std::size_t>(socket)];
        watched.wanted = what == CURL_POLL_REMOVE
                             ? 0u
                             : ((what & CURL_POLL_IN) ? EPOLLIN : 0u) | ((what & CURL_POLL_OUT) ? EPOLLOUT : 0u);
        if (!watched.is_dirty && (watched.wanted & ~watched.registered) != 0) {
            watched.is_dirty = true;
            own.dirty_.push_back(socket);
        }
        return 0;
    }
    static int on_timer(CURLM*, long timeout_ms, void* self) {
        static_cast<SocketLoop*>(self)->due_ = timeout_ms < 0 ? -1 : now_ms() + timeout_ms;
        return 0;
    }
    static std::int64_t now_ms() {
        timespec time{};
        ::clock_gettime(CLOCK_MONOTONIC, &time);
        return time.tv_sec * 1'000 + time.tv_nsec / 1'000'000;
    }

    void tell(int socket) {
        Watched& watched = watched_[static_cast<std::size_t>(socket)];
        epoll_event event{};
        event.events = watched.wanted;
        event.data.fd = socket;
        ++controls_;
        // Closed meanwhile, or the number is another socket's by now: the kernel knows better than we.
        if (::epoll_ctl(poll_, watched.registered == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, socket, &event) != 0)
            ::epoll_ctl(poll_, watched.registered == 0 ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, socket, &event);
        watched.registered = watched.wanted;
    }

    void run() override {
        int running = 0;
        while (!is_done()) {
            if (due_ >= 0 && now_ms() >= due_) {
                due_ = -1;
                check(curl_multi_socket_action(multi(), CURL_SOCKET_TIMEOUT, 0, &running) == CURLM_OK);
                take_answers();
                continue;
            }
            for (const int socket : dirty_) {
                Watched& watched = watched_[static_cast<std::size_t>(socket)];
                watched.is_dirty = false;
                if ((watched.wanted & ~watched.registered) != 0) tell(socket);
            }
            dirty_.clear();
            const int wait = due_ < 0 ? 1000 : static_cast<int>(due_ - now_ms());
            const int count = ::epoll_wait(poll_, events_.data(), static_cast<int>(events_.size()), std::max(wait, 0));
            for (int i = 0; i < count; ++i) {
                const auto& event = events_[static_cast<std::size_t>(i)];
                const int socket = event.data.fd;
                Watched& watched = watched_[static_cast<std::size_t>(socket)];
                if (watched.wanted == 0 || (event.events & (EPOLLIN | EPOLLOUT) & ~watched.wanted) != 0) {
                    tell(socket);
                    if (watched.wanted == 0) continue;
                }
                int bits = 0;
                if (event.events & (EPOLLIN | EPOLLHUP)) bits |= CURL_CSELECT_IN;
                if (event.events & EPOLLOUT) bits |= CURL_CSELECT_OUT;
                if (event.events & EPOLLERR) bits |= CURL_CSELECT_ERR;
                check(curl_multi_socket_action(multi(), socket, bits, &running) == CURLM_OK);
            }
            take_answers();
        }
    }

    int poll_;
    std::vector<Watched> watched_;
    std::vector<int> dirty_;
    std::array<epoll_event, 1024> events_{};
    std::int64_t due_ = -1;
    std::uint64_t controls_ = 0;
};

}  // namespace breakwater::bench
