#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/store/redis/connection/mailbox.hpp>
#include <breakwater/store/redis/connection/push.hpp>
#include <breakwater/store/redis/connection/reachable.hpp>
#include <breakwater/store/redis/connection/router.hpp>
#include <breakwater/store/redis/connection/timer.hpp>
#include <breakwater/store/redis/handler.hpp>
#include <breakwater/store/redis/options.hpp>

#include <poll.h>

#include <algorithm>
#include <cstddef>
#include <string>
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
    /// Sends the command, of any thread. The first on a connection that nobody uses leaves at once; those that come
    /// while it is under way leave together.
    void submit(Command&& command) {
        mailbox_.post([&](Mailbox::Letters& letters) { letters.commands.push_back(std::move(command)); },
                      [&] {
                          const Instant deadline = command.deadline;
                          const Express done = router_.route_now(command);
                          if (done == Express::sent) timer_.set(deadline);
                          return done;
                      });
    }
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
            if (is_stopping_) break;
            prepare();
            if (mailbox_.may_sleep()) {
                const int ready = ::poll(polled_.data(), polled_.size(), -1);
                mailbox_.wake();
                now = clock.now();
                if (ready > 0) wake(now);
            } else {
                now = clock.now();
            }
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

    /// What to be woken by. Done while awake: see `Mailbox::may_sleep`.
    void prepare() {
        polled_.clear();
        nodes_.clear();
        polled_.push_back({mailbox_.bell()->fd(), POLLIN, 0});
        polled_.push_back({timer_.fd(), POLLIN, 0});
        polled_.push_back({push_.fd(), push_.fd() < 0 ? short{0} : push_.events(), 0});
        router_.for_each([&](Node& node) {
            if (node.fd() < 0) return;
            polled_.push_back({node.fd(), node.events(), 0});
            nodes_.push_back(&node);
        });
        Instant until = std::min(router_.next(), wake_at_);
        if (!push_.wants_server(push_.next()) || router_.any_up() != nullptr) until = std::min(until, push_.next());
        timer_.set(until);
    }

    /// Does what the descriptors are ready for.
    void wake(Instant now) {
        if (polled_[0].revents != 0) mailbox_.bell()->silence();
        if (polled_[1].revents != 0) timer_.silence();
        if (polled_[2].revents != 0) push_.handle(polled_[2].revents, now);
        for (std::size_t i = 0; i < nodes_.size(); ++i) {
            if (polled_[i + 3].revents != 0) nodes_[i]->handle(polled_[i + 3].revents, now);
        }
    }

    const RedisStoreOptions options_;
    Mailbox mailbox_;
    Reachable reachable_;
    Timer timer_;
    Handler* handler_;
    Router router_;
    Push push_;
    std::string push_server_;
    Instant wake_at_ = Instant::max();
    bool is_stopping_ = false;
    std::vector<pollfd> polled_;
    std::vector<Node*> nodes_;  // of `polled_`, from the fourth on
};

}  // namespace breakwater::redis
