#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/store/redis/connection/mailbox.hpp>
#include <breakwater/store/redis/connection/push.hpp>
#include <breakwater/store/redis/connection/reachable.hpp>
#include <breakwater/store/redis/connection/router.hpp>
#include <breakwater/store/redis/handler.hpp>
#include <breakwater/store/redis/options.hpp>

#include <poll.h>

#include <algorithm>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace breakwater::redis {

/// All that the I/O thread and its owner share, and what that thread does: it takes what others ask for, sends it in as
/// few writes as it can, reads answers, and sleeps until something is due.
class IoLoop {
public:
    IoLoop(RedisStoreOptions options, std::string instance, Handler& handler)
        : options_{std::move(options)},
          handler_{&handler},
          router_{options_, std::move(instance), handler_, reachable_, mailbox_.bell()},
          push_{options_, handler_} {}
    IoLoop(const IoLoop&) = delete;
    IoLoop& operator=(const IoLoop&) = delete;

    Mailbox& mailbox() noexcept { return mailbox_; }
    const Reachable& reachable() const noexcept { return reachable_; }
    const RedisStoreOptions& options() const noexcept { return options_; }

    /// Of the I/O thread: nobody is told anything more, and `run` returns.
    void stop() noexcept {
        handler_ = nullptr;
        is_stopping_ = true;
    }

    void run() {
        const SteadyClock clock;
        Instant now = clock.now();
        router_.start(now);
        Mailbox::Letters letters;
        while (!is_stopping_) {
            mailbox_.take(letters);
            if (letters.stop) stop();
            read(letters, now);
            router_.tick(now);
            tick_push(now);
            if (now >= wake_at_) {
                wake_at_ = Instant::max();
                if (handler_ != nullptr) handler_->on_timer();
            }
            router_.flush(now);
            push_.flush(now);
            if (!is_stopping_ && mailbox_.may_sleep()) sleep(clock);
            now = clock.now();
            wake(now);
        }
        reachable_.set(Reachable::State::down);
        router_.stop();
        push_.stop();
        do {  // what is completed may ask again
            mailbox_.take(letters);
            for (Command& command : letters.commands) command.complete(Reply::Kind::unreachable);
        } while (!letters.empty());
    }

private:
    void read(Mailbox::Letters& letters, Instant now) {
        for (Command& command : letters.commands) router_.route(std::move(command));
        for (auto& [channel, is_wanted] : letters.channels) {
            if (is_wanted) {
                push_.want(std::move(channel), now);
            } else {
                push_.forget(channel);
            }
        }
        wake_at_ = std::min(wake_at_, letters.wake_at);
    }

    void tick_push(Instant now) {
        push_.tick(now);
        if (!push_server_.empty() && !router_.is_up(push_server_)) {
            push_.lose(push_server_, "the server is down", now);
            push_server_.clear();
        }
        if (!push_.wants_server(now)) return;
        if (Node* node = router_.any_up()) {
            push_server_ = node->address();
            push_.connect(node->url(), node->endpoint(), now);
        }
    }

    void sleep(const SteadyClock& clock) {
        polled_.clear();
        nodes_.clear();
        polled_.push_back({mailbox_.bell()->fd(), POLLIN, 0});
        polled_.push_back({push_.fd(), push_.fd() < 0 ? short{0} : push_.events(), 0});
        router_.for_each([&](Node& node) {
            if (node.fd() < 0) return;
            polled_.push_back({node.fd(), node.events(), 0});
            nodes_.push_back(&node);
        });
        Instant until = std::min({router_.next(), push_.next(), wake_at_});
        if (push_.wants_server(until) && router_.any_up() == nullptr) until = std::min(router_.next(), wake_at_);
        timespec time{};
        const Duration left = until == Instant::max() ? Duration{0} : std::max(until - clock.now(), Duration{0});
        time.tv_sec = static_cast<time_t>(left.count() / 1'000'000);
        time.tv_nsec = static_cast<long>(left.count() % 1'000'000) * 1'000;
        const int ready = ::ppoll(polled_.data(), polled_.size(), until == Instant::max() ? nullptr : &time, nullptr);
        has_polled_ = ready > 0;
    }

    /// Does what the sockets are ready for.
    void wake(Instant now) {
        if (!std::exchange(has_polled_, false)) return;
        if (polled_[0].revents != 0) mailbox_.bell()->silence();
        if (polled_[1].revents != 0) push_.handle(polled_[1].revents, now);
        for (std::size_t i = 0; i < nodes_.size(); ++i) {
            if (polled_[i + 2].revents != 0) nodes_[i]->handle(polled_[i + 2].revents, now);
        }
    }

    const RedisStoreOptions options_;
    Mailbox mailbox_;
    Reachable reachable_;
    Handler* handler_;
    Router router_;
    Push push_;
    std::string push_server_;
    Instant wake_at_ = Instant::max();
    bool is_stopping_ = false;
    bool has_polled_ = false;
    std::vector<pollfd> polled_;
    std::vector<Node*> nodes_;  // of `polled_`, from the third on
};

}  // namespace breakwater::redis
