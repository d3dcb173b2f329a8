#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/event_loop.hpp>
#include <breakwater/transport/curl/counter.hpp>
#include <breakwater/transport/curl/easy_handle.hpp>
#include <breakwater/transport/curl/last_told.hpp>
#include <breakwater/transport/curl/multi.hpp>
#include <breakwater/transport/curl/operation.hpp>
#include <breakwater/transport/curl/options.hpp>
#include <breakwater/transport/curl/pooled_handle.hpp>
#include <breakwater/transport/curl/sockets.hpp>

#include <curl/curl.h>

#include <algorithm>
#include <cstddef>
#include <exception>
#include <memory>
#include <new>
#include <utility>
#include <vector>

namespace breakwater::curl {

/// Makes operations on an event loop: a guest of a `LoopThread`.
///
/// Exchanges are spread over several multi handles, filled one after the other. libcurl 7.88 looks for an idle
/// connection through all of them from the first on: in one multi handle with 1,000 in flight that and its cache misses
/// were a third of all CPU time. Where the number of connections is capped there is only one, for libcurl counts them.
class Engine final : public Operator, public Multi::Owner {
public:
    Engine(CurlOptions options, std::shared_ptr<Counter> counter)
        : options_{std::move(options)}, counter_{std::move(counter)} {}
    Engine(const Engine&) = delete;
    Engine& operator=(const Engine&) = delete;

    EventLoop& loop() noexcept { return loop_; }

    /// Cancels what is under way, and from now on all that is begun.
    void end() noexcept {
        has_ended_ = true;
        while (first_ != nullptr) break_off(*first_, Errc::cancelled);
        for (const auto& multi : multis_) multi->close();
        idle_.clear();
        if (trim_.is_set) loop_.cancel(trim_);
        trim_.is_set = false;
    }

private:
    /// Frees, after a burst, the handles that have not been needed since the last time.
    struct Trim final : Timer {
        explicit Trim(Engine& own) noexcept : engine{own} {}
        void on_time() noexcept override { engine.trim(); }
        Engine& engine;
        bool is_set = false;
    };

    static constexpr std::size_t per_multi = 128;

    Scheduler& scheduler() noexcept override { return loop_; }

    void begin(Operation& operation) noexcept override {
        try {
            if (auto begun = try_to_begin(operation); !begun) settle(operation, fail(std::move(begun.error())));
        } catch (const Exception& exception) {
            settle(operation, fail(exception.error()));
        } catch (const std::exception&) {
            settle(operation, fail(Errc::transport_failed));  // out of memory: not even a message
        }
    }

    Result<void> try_to_begin(Operation& operation) {
        const SendOptions& options = operation.options_;
        if (has_ended_ || options.stop.stop_requested()) return fail(Error{Errc::cancelled}.set_sent(Sent::no));
        if (options.timeout <= Duration::zero()) return fail(Error{Errc::attempt_timeout}.set_sent(Sent::no));
        if (options.connect_timeout <= Duration::zero()) return fail(Errc::connect_timeout);
        operation.handle_ = take_handle();
        PooledHandle& handle = *operation.handle_;
        if (auto ready = handle.easy.prepare(operation.request_, options); !ready) return ready;
        const bool may_multiplex = handle.easy.may_multiplex();
        if (may_multiplex != handle.waits_for_multiplexing) {
            // A connection being made may turn out to take them all. A server of clear text HTTP/1.1 would be waited
            // for in vain, and until its first answer.
            set_option(handle.easy.get(), CURLOPT_PIPEWAIT, may_multiplex ? 1L : 0L);
            handle.waits_for_multiplexing = may_multiplex;
        }
        set_option(handle.easy.get(), CURLOPT_PRIVATE, &operation);
        const bool needs_alarm = is_capped() || may_multiplex;
        if (needs_alarm) operation.alarm_.emplace(operation);
        Multi& multi = free_multi();
        if (!multi.add(handle.easy.get())) return fail(Errc::transport_failed, "libcurl takes no more");
        operation.multi_ = &multi;
        link(operation);
        if (needs_alarm) set_alarm(operation, may_multiplex && !is_capped());
        if (options.stop.stop_possible()) operation.on_stop_.emplace(options.stop, Operation::OnStop{operation});
        return {};
    }

    /// libcurl 7.88 does not watch the time of an exchange that waits for a connection.
    void set_alarm(Operation& operation, bool is_connecting) noexcept {
        const SendOptions& options = operation.options_;
        Operation::Alarm& alarm = *operation.alarm_;
        const Instant now = SteadyClock{}.now();
        alarm.ends = now + std::min<Duration>(options.timeout, std::chrono::hours{24 * 365});
        alarm.due = alarm.ends;
        if (is_connecting && options.connect_timeout < options.timeout)
            alarm.due = std::min(alarm.ends, now + options.connect_timeout);
        loop_.set(alarm, *alarm.due);
    }
    void expire(Operation& operation, Instant due) noexcept override {
        Operation::Alarm& alarm = *operation.alarm_;
        if (due == alarm.ends) return break_off(operation, Errc::attempt_timeout);
        if (operation.handle_->easy.sent() == Sent::no) return break_off(operation, Errc::connect_timeout);
        alarm.due = alarm.ends;
        loop_.set(alarm, alarm.ends);
    }

    void abort(Operation& operation) noexcept override {
        if (operation.is_settled_) return loop_.post(operation);
        break_off(operation, Errc::cancelled);
    }

    void break_off(Operation& operation, Errc reason) noexcept {
        EasyHandle& easy = operation.handle_->easy;
        operation.multi_->remove(easy.get());
        counter_->count(easy.connections_opened(), "");
        settle(operation, fail(easy.broken_off(reason)));
    }

    void on_done(CURL* easy, CURLcode verdict) noexcept override {
        char* own = nullptr;
        curl_easy_getinfo(easy, CURLINFO_PRIVATE, &own);
        auto& operation = *reinterpret_cast<Operation*>(own);
        operation.multi_->remove(easy);
        const long opened = operation.handle_->easy.connections_opened();
        try {
            auto own_result = operation.handle_->easy.finish(verdict);
            Result<Response>& result = *own_result;
            // It has waited for a connection until its time was over: that is no connect timeout.
            if (!result && result.error().code() == Errc::connect_timeout && is_capped() &&
                SteadyClock{}.now() + std::chrono::milliseconds{1} >= operation.alarm_->ends)
                result.error().set_code(Errc::attempt_timeout);
            if (result) result->connection = opened > 0 ? ConnectionUse::opened : ConnectionUse::reused;
            counter_->count(opened, result ? std::string_view{result->http_version} : "");
            settle(operation, std::move(own_result));
        } catch (const std::exception&) {
            counter_->count(opened, "");
            settle(operation, fail(Errc::transport_failed));
        }
    }

    void settle(Operation& operation, std::unexpected<Error>&& error) noexcept {
        settle(operation, std::unique_ptr<Result<Response>>{new (std::nothrow) Result<Response>{std::move(error)}});
    }
    /// The operation is nobody's after this but its caller's.
    void settle(Operation& operation, std::unique_ptr<Result<Response>> result) noexcept {
        operation.result_ = std::move(result);
        if (operation.multi_ != nullptr) unlink(operation);
        if (operation.alarm_ && operation.alarm_->due) loop_.cancel(*operation.alarm_);
        operation.alarm_.reset();
        if (operation.handle_) give_back(std::move(operation.handle_));
        operation.on_stop_.reset();  // waits for a stop request that is just calling
        // If that has posted, the operation has to stay until it was run, which then tells its caller.
        operation.is_settled_ = true;
        if (!operation.abort_.is_pending()) loop_.post(operation);
    }

    bool is_capped() const noexcept { return options_.max_connections || options_.max_connections_per_host; }

    Multi& free_multi() {
        const auto has_room = [](const auto& multi) { return multi->in_flight() < per_multi; };
        const auto found = is_capped() ? multis_.begin() : std::find_if(multis_.begin(), multis_.end(), has_room);
        if (found != multis_.end()) return **found;
        const std::size_t kept = is_capped() ? options_.max_connections.value_or(1024) : per_multi;
        multis_.push_back(std::make_unique<Multi>(loop_, sockets_, *this, options_, kept));
        return *multis_.back();
    }

    std::unique_ptr<PooledHandle> take_handle() {
        if (idle_.empty()) {
            // So that giving back cannot fail.
            if (idle_.capacity() <= in_flight_) idle_.reserve(in_flight_ + in_flight_ / 2 + 1);
            auto handle = std::make_unique<PooledHandle>(options_, last_told_);
            sockets_.follow(handle->easy.get());
            return handle;
        }
        auto handle = std::move(idle_.back());
        idle_.pop_back();
        return handle;
    }
    void give_back(std::unique_ptr<PooledHandle> handle) noexcept {
        idle_.push_back(std::move(handle));
        if (trim_.is_set || idle_.size() <= options_.max_idle || has_ended_) return;
        trim_.is_set = true;
        most_in_flight_ = in_flight_;
        loop_.set(trim_, SteadyClock{}.now() + options_.max_idle_time);
    }
    void trim() noexcept {
        const std::size_t needed = std::max(most_in_flight_, options_.max_idle);
        if (idle_.size() + in_flight_ > needed) idle_.resize(needed - std::min(needed, in_flight_));
        most_in_flight_ = in_flight_;
        trim_.is_set = idle_.size() > options_.max_idle;
        if (trim_.is_set) loop_.set(trim_, SteadyClock{}.now() + options_.max_idle_time);
    }

    void link(Operation& operation) noexcept {
        operation.next_ = first_;
        if (first_ != nullptr) first_->previous_ = &operation;
        first_ = &operation;
        most_in_flight_ = std::max(most_in_flight_, ++in_flight_);
    }
    void unlink(Operation& operation) noexcept {
        (operation.previous_ != nullptr ? operation.previous_->next_ : first_) = operation.next_;
        if (operation.next_ != nullptr) operation.next_->previous_ = operation.previous_;
        --in_flight_;
    }

    const CurlOptions options_;
    const std::shared_ptr<Counter> counter_;
    EventLoop loop_;
    Sockets sockets_{loop_};
    LastTold last_told_{options_.user_agent};
    std::vector<std::unique_ptr<Multi>> multis_;
    std::vector<std::unique_ptr<PooledHandle>> idle_;  // the last one used on top
    Operation* first_ = nullptr;
    std::size_t in_flight_ = 0;
    std::size_t most_in_flight_ = 0;  // since the last trim
    Trim trim_{*this};
    bool has_ended_ = false;
};

}  // namespace breakwater::curl
