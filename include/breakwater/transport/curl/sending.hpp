#pragma once

#include <breakwater/errc.hpp>
#include <breakwater/http/request.hpp>
#include <breakwater/http/response.hpp>
#include <breakwater/result.hpp>
#include <breakwater/transport/curl/operation.hpp>
#include <breakwater/transport/transport.hpp>

#include <coroutine>

namespace breakwater::curl {

/// One exchange to be awaited, once: gives a `Result<Response>`. The coroutine goes on on the engine's thread.
class [[nodiscard]] Sending final : private Operation {
public:
    /// Without an engine it fails at once: there was no thread to be had.
    Sending(Operator* engine, const Request& request, const SendOptions& options) noexcept
        : Operation{engine, request, options} {}

    bool await_ready() const noexcept { return !has_engine(); }
    void await_suspend(std::coroutine_handle<> caller) noexcept {
        caller_ = caller;
        start();  // may be done, and the caller gone, when this returns
    }
    Result<Response> await_resume() {
        if (!has_engine()) return fail(Errc::transport_failed, "no thread can be started");
        return take();
    }

private:
    void on_done() noexcept override { caller_.resume(); }

    std::coroutine_handle<> caller_;
};

}  // namespace breakwater::curl
