#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/event_loop/scheduler.hpp>
#include <breakwater/http/request.hpp>
#include <breakwater/http/response.hpp>
#include <breakwater/result.hpp>
#include <breakwater/transport/transport.hpp>

#include <memory>
#include <optional>
#include <stop_token>
#include <utility>

namespace breakwater::curl {

class Operation;
class Multi;
struct PooledHandle;

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

/// One exchange under way on an engine. It lives in its caller's frame, and nothing is allocated for it beyond what
/// libcurl needs; it may be destroyed once it is done.
class Operation final : private Work {
public:
    Operation() = default;

    /// Begins it: once, on any thread. `when_done` runs on the engine's thread, never within this call nor a callback
    /// of libcurl's. All that is given stays alive until then.
    void start(Operator& engine, const Request& request, const SendOptions& options, Work& when_done) noexcept {
        engine_ = &engine;
        request_ = &request;
        options_ = &options;
        when_done_ = &when_done;
        engine.scheduler().post(*this);
    }

    /// What it came to. Once, after it is done.
    Result<Response> take() noexcept { return std::move(*result_); }

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
        std::optional<Instant> due{};
    };

    void run() noexcept override { engine_->begin(*this); }

    Operator* engine_ = nullptr;
    const Request* request_ = nullptr;
    const SendOptions* options_ = nullptr;
    Work* when_done_ = nullptr;

    // Of the engine's thread.
    std::unique_ptr<PooledHandle> handle_;  // while it is under way
    Multi* multi_ = nullptr;
    Operation* previous_ = nullptr;
    Operation* next_ = nullptr;
    std::optional<std::stop_callback<OnStop>> on_stop_;
    Abort abort_{*this};
    Alarm alarm_{*this};
    Instant ends_{};
    bool is_settled_ = false;
    std::optional<Result<Response>> result_;
};

}  // namespace breakwater::curl
