#pragma once

#include <breakwater/store/redis/connections.hpp>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <semaphore>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace breakwater::test {

/// Writes down what it is told; other threads wait for it.
class RedisRecorder : public redis::Handler {
public:
    void on_up(const redis::HandshakeInfo& info) override {
        const std::lock_guard lock{mutex_};
        infos_.push_back(info);
        add("up");
    }
    void on_down(std::string_view, std::string_view reason) override { note("down: " + std::string{reason}); }
    void on_push(std::string_view channel, std::string_view message) override {
        note("push " + std::string{channel} + ": " + std::string{message});
    }
    void on_subscribed(std::string_view channel) override { note("subscribed " + std::string{channel}); }
    void on_push_state(redis::PushState state, std::string_view reason) override {
        note(state == redis::PushState::fresh ? "fresh" : "stale: " + std::string{reason});
    }
    void on_timer() override { note("timer"); }

    void note(std::string event) {
        const std::lock_guard lock{mutex_};
        add(std::move(event));
    }

    /// Waits until an event that begins so has come since the last one waited for, and returns it whole.
    std::string wait_for(std::string_view beginning) {
        std::unique_lock lock{mutex_};
        std::string found;
        const bool came = changed_.wait_for(lock, std::chrono::seconds{20}, [&] {
            for (; read_ < events_.size(); ++read_) {
                if (!events_[read_].starts_with(beginning)) continue;
                found = events_[read_++];
                return true;
            }
            return false;
        });
        if (!came) throw std::runtime_error{"no event: " + std::string{beginning}};
        return found;
    }
    std::vector<std::string> events() const {
        const std::lock_guard lock{mutex_};
        return events_;
    }
    std::vector<redis::HandshakeInfo> infos() const {
        const std::lock_guard lock{mutex_};
        return infos_;
    }

private:
    void add(std::string event) {
        events_.push_back(std::move(event));
        changed_.notify_all();
    }

    mutable std::mutex mutex_;
    std::condition_variable changed_;
    std::vector<std::string> events_;
    std::vector<redis::HandshakeInfo> infos_;
    std::size_t read_ = 0;
};

/// Submits a command and waits for its end. The server of a test may be slow; one that hangs fails the test.
inline redis::Reply ask(redis::Connections& connections, redis::Words command, std::string key = "",
                        const redis::Script* script = nullptr) {
    struct Answer {
        std::binary_semaphore there{0};
        redis::Reply reply{};
    };
    const auto answer = std::make_shared<Answer>();
    connections.submit(
        {.key = std::move(key), .command = std::move(command), .script = script, .done = [answer](auto&& reply) {
             answer->reply = std::move(reply);
             answer->there.release();
         }});
    if (!answer->there.try_acquire_for(std::chrono::seconds{20})) throw std::runtime_error{"a command never ended"};
    return answer->reply;
}

inline redis::Words words(std::initializer_list<std::string_view> texts) {
    redis::Words words;
    for (const std::string_view text : texts) words.add(text);
    return words;
}

}  // namespace breakwater::test
