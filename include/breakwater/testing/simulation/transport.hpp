#pragma once

#include <breakwater/http/request.hpp>
#include <breakwater/http/response.hpp>
#include <breakwater/result.hpp>
#include <breakwater/task.hpp>
#include <breakwater/testing/simulation.hpp>
#include <breakwater/testing/simulation/service.hpp>
#include <breakwater/transport/transport.hpp>

#include <coroutine>
#include <functional>
#include <memory>
#include <utility>

namespace breakwater::testing {

/// A transport to a simulated service, so that a whole client runs in virtual time:
///
///     ResilientClient client{options, SimulatedTransport{service}, MemoryStore{world.clock()}};
///     Result<Response> page = world.run(client.async_get("/inventory"));
///
/// A good answer is what `answer(request)` gives (without one a 200), a failed one a 500; a call that the service
/// refuses was never sent (`connect_failed`). Of the options only stop and timeout are heeded: bodies are not streamed.
/// Belongs to the simulation's thread.
class SimulatedTransport {
public:
    using AnswerTo = std::function<Response(const Request&)>;

    explicit SimulatedTransport(SimulatedService& service, AnswerTo answer = {})
        : service_{&service}, answer_{std::make_shared<const AnswerTo>(std::move(answer))} {}

    /// For calls that block: lets the simulation go on until the answer is there. Throws `Exception` (`would_deadlock`)
    /// where it is already running.
    Result<Response> send(const Request& request, const SendOptions& options) const {
        return service_->simulation().run(sent(request, options));
    }

    /// The same for a coroutine.
    class Sending {
    public:
        Sending(const SimulatedTransport& by, const Request& request, const SendOptions& options)
            : valid_{validate(request)},
              request_{request},
              answer_{by.answer_},
              call_{by.service_->call(options.timeout, options.stop)} {}

        bool await_ready() noexcept { return !valid_ || call_.await_ready(); }
        void await_suspend(std::coroutine_handle<> caller) { call_.await_suspend(caller); }
        Result<Response> await_resume() {
            if (!valid_) return fail(std::move(valid_.error()));
            using enum SimulatedService::Answer;
            switch (call_.await_resume()) {
                case good: {
                    Response response = *answer_ ? (*answer_)(request_) : Response{.status = 200};
                    if (response.url.empty()) response.url = request_.url;
                    return response;
                }
                case failed: return Response{.status = 500, .url = request_.url};
                case refused: return fail(Error{Errc::connect_failed}.set_sent(Sent::no));
                case timed_out: return fail(Errc::attempt_timeout);
                case stopped: break;
            }
            return fail(Errc::cancelled);
        }

    private:
        Result<void> valid_;
        const Request& request_;
        const std::shared_ptr<const AnswerTo> answer_;
        SimulatedService::Call call_;
    };
    Sending async_send(const Request& request, const SendOptions& options) const { return {*this, request, options}; }
    Scheduler& scheduler() const noexcept { return service_->simulation(); }

private:
    Task<Result<Response>> sent(const Request& request, const SendOptions& options) const {
        auto sending = async_send(request, options);
        co_return co_await sending;
    }

    SimulatedService* service_;
    std::shared_ptr<const AnswerTo> answer_;
};

}  // namespace breakwater::testing
