#pragma once

#include <breakwater/client/call.hpp>
#include <breakwater/client/call_trace.hpp>
#include <breakwater/client/download.hpp>
#include <breakwater/client/exchange.hpp>
#include <breakwater/detail/rare.hpp>
#include <breakwater/detail/stop_link.hpp>
#include <breakwater/event_loop/scheduler.hpp>
#include <breakwater/events.hpp>
#include <breakwater/http/redact.hpp>
#include <breakwater/http/request.hpp>
#include <breakwater/http/response.hpp>
#include <breakwater/http/trace_context.hpp>
#include <breakwater/pipeline/reports.hpp>
#include <breakwater/result.hpp>
#include <breakwater/task.hpp>
#include <breakwater/task/hand_on.hpp>
#include <breakwater/task/now_or_later.hpp>
#include <breakwater/task/resume_on.hpp>
#include <breakwater/transport/transport.hpp>

#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace breakwater {

/// One call of a client from its complete request to its result: what both drivers need to make it.
///
/// Keeps the stack that the client had when this was made. `CoreHandle` points to the client's core and
/// `OptionsHandle` to the call's options: raw pointers if the caller waits, else what keeps them.
template <class CoreHandle, class OptionsHandle>
class ClientFlight {
    using Core = std::remove_cvref_t<decltype(*std::declval<CoreHandle&>())>;
    using Stack = typename Core::Stack;
    using ClockType = std::remove_cvref_t<decltype(std::declval<const Core&>().store().clock())>;
    using CallType = HttpCall<ClockType>;

public:
    using Value = Response;

    ClientFlight(CoreHandle core, std::shared_ptr<const Stack> stack, Request&& request, std::string&& subject,
                 OptionsHandle options)
        : core_{std::move(core)},
          stack_{std::move(stack)},
          request_{std::move(request)},
          subject_{std::move(subject)},
          options_{std::move(options)} {}

    /// Of a call that blocks nobody: the task's, the caller's, and the end of the client.
    detail::EitherStop stop(const std::stop_token& of_task) const { return {of_task, options_->stop, core_->calls()}; }
    const auto& policies() const noexcept { return stack_->policies; }
    Scheduler* scheduler() const { return scheduler_of(core_->transport()); }

    /// Makes the call in place.
    CallType& begin(const std::stop_token* stop) {
        CallType& call = call_.emplace(core_->store().clock(), request_, *options_);
        call.stop = stop;
        call.set_observer(stack_->observer);
        if (call.is_observed()) call.facts = &tell_of(*options_);
        call.redaction = &stack_->redaction;
        if (options_->trace)
            call.trace = &trace_.emplace(*options_->trace, CallTrace::Begun::elsewhere);
        else if (begins_trace(call.request)) [[unlikely]]
            call.trace = &trace_.emplace(TraceContext::begin(*stack_->options.begin_trace), CallTrace::Begun::here);
        call.only_once = !is_resendable(call.request);
        call.download = download_.get();
        call.has_own_fallback = static_cast<bool>(options_->fallback);
        call.set_deadline(options_->deadline.value_or(stack_->options.timeouts.deadline));
        return call;
    }

    /// Before `begin`: makes the file to which the answer is saved, if it is.
    Result<void> open() {
        if (!options_->save_to) return {};
        if (request_.method == Method::head)
            return fail(
                std::move(Error{Errc::invalid_request, "save_to: HEAD has no body to save"}.set_subject(subject_)));
        download_ = std::make_unique<Download>(options_->save_to, request_, options_->max_saved_bytes);
        if (auto ok = download_->open(); !ok) return fail(std::move(ok.error().set_subject(subject_)));
        return {};
    }

    /// One attempt on the calling thread.
    Result<Response> attempt_here(CallType& call) const {
        std::optional<Result<Response>> result;
        Exchange exchange{call, stack_->options, result};
        while (const Request* request = exchange.next()) {
            exchange.take(core_->transport().send(*request, exchange.how()));
            if (const Request* next = exchange.unpermitted()) exchange.take_permit(hop_permit(*next));
        }
        exchange.finish();
        return *std::move(result);
    }

    /// One attempt that blocks nobody: see `CoroutineDriver`.
    class Steps {
    public:
        Steps(const ClientFlight& flight, CallType& call, detail::TaskRoom<Result<Response>>& room)
            : flight_{flight}, exchange_{call, flight.stack_->options, room} {}

        bool sends() const noexcept { return exchange_.next() != nullptr; }
        auto send() {
            return detail::HandOn{
                [this] { return flight_.core_->transport().async_send(*exchange_.next(), exchange_.how()); },
                [this](Result<Response>&& answer) { exchange_.take(std::move(answer)); }};
        }
        bool asks() const noexcept { return exchange_.unpermitted() != nullptr; }
        Task<> ask() { return flight_.ask_hop_permit(exchange_); }
        void finish() { exchange_.finish(); }

    private:
        const ClientFlight& flight_;
        Exchange<CallType, typename Stack::Options, detail::TaskRoom<Result<Response>>> exchange_;
    };
    Steps attempt_in_steps(CallType& call, detail::TaskRoom<Result<Response>>& room) const {
        return Steps{*this, call, room};
    }

    /// Completes the result: its timeline, its words, the file it is saved in.
    void end(CallType& call, Result<Response>& result) const {
        if (result) {
            result->timeline = std::move(call.timeline);
        } else {
            if (result.error().exception()) redact(result.error(), stack_->redaction, call.request);
            result.error().set_attempts(call.attempt).set_subject(subject_).set_timeline(std::move(call.timeline));
        }
        if (download_ && result && result->is_success() && result->source == Source::network) {
            if (auto ok = download_->keep(); !ok) result = fail(std::move(ok.error().set_subject(subject_)));
        }
        if (result) call.source = result->source;
        detail::report_call_end(call, result, result ? std::optional{result->status} : std::nullopt);
    }

private:
    /// What observers are told, without secrets.
    struct Words {
        CallFacts facts{};
        std::string tag{};
        std::string correlation_id{};
    };
    const CallFacts& tell_of(const RequestOptions& options) {
        Words& words = words_.emplace();
        words.facts = {.subject = subject_,
                       .tag = shown(options.tag, words.tag),
                       .correlation_id = shown(options.correlation_id, words.correlation_id)};
        return words.facts;
    }

    bool begins_trace(const Request& request) const {
        return stack_->options.begin_trace && !options_->anonymous && !request.headers.contains("traceparent");
    }

    /// The words without secrets, in `own` if there are any.
    std::string_view shown(std::string_view words, std::string& own) const {
        return stack_->redaction.is_telling(words) ? own = stack_->redaction.text(words) : words;
    }

    /// Each redirect takes a permit of its own.
    Result<void> hop_permit(const Request& next) const {
        if (auto own = stack_->limiter.try_acquire(); !own) return own;
        return or_give_back(stack_->endpoints.try_acquire(next));
    }
    template <class Exchange>
    Task<> ask_hop_permit(Exchange& exchange) const {
        const Request& next = *exchange.unpermitted();
        if constexpr (requires { stack_->limiter.async_try_acquire(); }) {
            auto asking = later(stack_->limiter.async_try_acquire());
            Result<void> permit = co_await asking;
            if (permit) {
                auto asking_endpoint = later(stack_->endpoints.async_try_acquire(next));
                permit = or_give_back(co_await asking_endpoint);
            }
            exchange.take_permit(std::move(permit));
        } else {
            exchange.take_permit(hop_permit(next));
            co_return;
        }
    }
    /// Without a permit of the endpoint, the client's is not used.
    Result<void> or_give_back(Result<void> of_endpoint) const {
        if (!of_endpoint) stack_->limiter.give_back();
        return of_endpoint;
    }

    CoreHandle core_;
    std::shared_ptr<const Stack> stack_;
    Request request_;
    std::string subject_;
    OptionsHandle options_;
    std::unique_ptr<Download> download_;
    detail::Rare<Words> words_;
    detail::Rare<CallTrace> trace_;
    std::optional<CallType> call_;
};

}  // namespace breakwater
