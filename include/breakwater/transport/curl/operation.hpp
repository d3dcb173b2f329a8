#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/detail/rare.hpp>
#include <breakwater/event_loop/scheduler.hpp>
#include <breakwater/http/request.hpp>
#include <breakwater/http/response.hpp>
#include <breakwater/result.hpp>
#include <breakwater/transport/curl/pooled_handle.hpp>
#include <breakwater/transport/transport.hpp>

#include <memory>
#include <optional>
#include <stop_token>
#include <utility>

namespace breakwater::curl {

class Operation;
class Multi;

/// Who makes operations happen, on its loop's thread.
class Operator {
public:
    virtual Scheduler& scheduler() noexcept = 0;
    virtual void begin(Operation&) noexcept = 0;
    virtual void abort(Operation&) noexcept = 0;
    virtual void expire(Operation&, Instant due) noexcept = 0;

protected:
    ~Operator() = default;
};

/// One exchange under way on an engine. It lives in its caller's frame and stays there until it is done; what it needs
/// beyond that is made when it is needed, for ten thousand may wait for their answers at once.
class Operation : private Work {
public:
    Operation(const Operation&) = delete;
    Operation& operator=(const Operation&) = delete;

protected:
    Operation(Operator* engine, const Request& request, const SendOptions& options) noexcept
        : engine_{engine}, request_{request}, options_{options} {}
    ~Operation() = default;

    /// Begins it: once, on any thread. What it was made of stays until it is done.
    void start() noexcept { engine_->scheduler().post(*this); }
    bool has_engine() const noexcept { return engine_ != nullptr; }
    /// It is done: on the engine's thread, never within `start` nor a callback of libcurl's. It may go now.
    virtual void on_done() noexcept = 0;

    /// What it came to. Once, after it is done.
    Result<Response> take() noexcept {
        if (!result_) return fail(Errc::transport_failed);  // out of memory: not even a message
        return std::move(*result_);
    }

private:
    friend class Engine;

    /// A stop request, of any thread.
    struct OnStop {
        void operator()() const noexcept {
            operation.abort_.is_posted = true;
            operation.engine_->scheduler().post(operation.abort_);
        }
        Operation& operation;
    };
    struct Abort final : Work {
        explicit Abort(Operation& own) noexcept : operation{own} {}
        void run() noexcept override {
            has_run = true;
            operation.engine_->abort(operation);
        }
        bool is_pending() const noexcept { return is_posted && !has_run; }
        Operation& operation;
        bool is_posted = false;  // of the stopping thread until its callback is destroyed
        bool has_run = false;
    };
    struct Alarm final : Timer {
        explicit Alarm(Operation& own) noexcept : operation{own} {}
        void on_time() noexcept override { operation.engine_->expire(operation, *std::exchange(due, std::nullopt)); }
        Operation& operation;
        Instant ends{};
        std::optional<Instant> due{};
    };

    void run() noexcept override { is_settled_ ? on_done() : engine_->begin(*this); }

    Operator* const engine_;
    const Request& request_;
    const SendOptions& options_;

    // Of the engine's thread.
    std::unique_ptr<PooledHandle> handle_;  // while it is under way
    Multi* multi_ = nullptr;
    Operation* previous_ = nullptr;
    Operation* next_ = nullptr;
    std::optional<std::stop_callback<OnStop>> on_stop_;
    Abort abort_{*this};
    detail::Rare<Alarm> alarm_;
    bool is_settled_ = false;
    std::unique_ptr<Result<Response>> result_;
};

}  // namespace breakwater::curl
