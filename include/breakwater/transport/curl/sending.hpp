#pragma once

#include <breakwater/errc.hpp>
#include <breakwater/event_loop/scheduler.hpp>
#include <breakwater/http/request.hpp>
#include <breakwater/http/response.hpp>
#include <breakwater/result.hpp>
#include <breakwater/transport/curl/engine.hpp>
#include <breakwater/transport/curl/operation.hpp>
#include <breakwater/transport/transport.hpp>

#include <coroutine>

namespace breakwater::curl {

/// One exchange to be awaited, once: gives a `Result<Response>`. The coroutine goes on on the engine's thread.
class [[nodiscard]] Sending final : private Work {
public:
    /// Without an engine it fails at once: there was no thread to be had.
    Sending(Engine* engine, const Request& request, const SendOptions& options) noexcept
        : engine_{engine}, request_{request}, options_{options} {}

    bool await_ready() const noexcept { return engine_ == nullptr; }
    void await_suspend(std::coroutine_handle<> caller) noexcept {
        caller_ = caller;
        engine_->start(operation_, request_, options_, *this);  // may be done, and the caller gone, when this returns
    }
    Result<Response> await_resume() {
        if (engine_ == nullptr) return fail(Errc::transport_failed, "no thread can be started");
        return operation_.take();
    }

private:
    void run() noexcept override { caller_.resume(); }

    Engine* engine_;
    const Request& request_;
    const SendOptions& options_;
    std::coroutine_handle<> caller_;
    Operation operation_;
};

}  // namespace breakwater::curl
