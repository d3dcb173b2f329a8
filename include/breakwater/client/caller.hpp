#pragma once

#include <breakwater/client/call.hpp>
#include <breakwater/client/download.hpp>
#include <breakwater/client/exchange.hpp>
#include <breakwater/client/options.hpp>
#include <breakwater/client/prepare.hpp>
#include <breakwater/events.hpp>
#include <breakwater/http/method.hpp>
#include <breakwater/http/redact.hpp>
#include <breakwater/http/request.hpp>
#include <breakwater/http/response.hpp>
#include <breakwater/pipeline/blocking_driver.hpp>
#include <breakwater/result.hpp>

#include <memory>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

namespace breakwater {

/// Makes one call of a client, by the options that the client has when this is made: it keeps them, and all they refer
/// to, until it goes.
template <class Core>
class ClientCaller {
public:
    explicit ClientCaller(const Core& core) : core_{core}, stack_{core.stack()} {}

    Result<Response> call(Request request, std::string_view target, const RequestOptions& options) const;

    template <class T>
    Result<T> decoded(const Method& method, std::string_view target, const RequestOptions& options) const {
        const Result<Response> answer = call(Request{.method = method}, target, options);
        Result<T> result = decode_as<T>(answer);
        if (answer && !result) {
            redact(result.error(), stack_->redaction, Request{});
            result.error()
                .set_subject(subject_for(method, target))
                .set_attempts(static_cast<unsigned>(answer->timeline.size()))
                .set_timeline(answer->timeline);
        }
        return result;
    }

private:
    using ClockType = std::remove_cvref_t<decltype(std::declval<const Core&>().store().clock())>;
    using CallType = HttpCall<ClockType>;

    std::string subject_for(const Method& method, std::string_view target) const {
        std::string subject = subject_of(method, target);
        if (stack_->redaction.is_telling(subject)) [[unlikely]]
            subject = stack_->redaction.text(subject);
        return subject;
    }

    /// Makes a call whose answer goes to a sink.
    [[gnu::noinline]] Result<Response> save(Request request, const std::string& subject,
                                            const RequestOptions& options) const {
        if (request.method == Method::head) {
            return fail(Error{Errc::invalid_request, "save_to: HEAD has no body to save"}.set_subject(subject));
        }
        Download download{options.save_to};
        if (auto ok = download.open(); !ok) return fail(std::move(ok.error().set_subject(subject)));
        auto result = make(std::move(request), subject, options, &download);
        if (!result || !result->is_success() || result->source != Source::network) return result;
        if (auto ok = download.keep(); !ok) return fail(std::move(ok.error().set_subject(subject)));
        return result;
    }

    /// Makes a call whose request is complete. (Of its own, so that the result is made where the caller wants it.)
    Result<Response> make(Request request, const std::string& subject, const RequestOptions& options,
                          Download* download = nullptr) const {
        const auto& stack = *stack_;
        CallType call{core_.store().clock(), std::move(request), options};
        call.stop = &options.stop;
        call.set_observer(stack.options.observer);
        const CallFacts facts{.subject = subject, .tag = options.tag};
        call.facts = &facts;
        call.only_once = !is_resendable(call.request);
        call.download = download;
        call.has_own_fallback = static_cast<bool>(options.fallback);
        call.set_deadline(options.deadline.value_or(stack.options.timeouts.deadline));

        const auto take_hop = [&](const Request& next) { return permit_for(next); };
        auto attempt = [&](CallType& own) {
            Result<Response> answer = exchange(own, core_.transport(), stack.options, take_hop);
            if (!answer) [[unlikely]]
                redact(answer.error(), stack.redaction, own.request);
            return answer;
        };
        Result<Response> result = run(call, attempt);
        if (result) {
            result->timeline = std::move(call.timeline);
        } else {
            if (result.error().exception()) redact(result.error(), stack.redaction, call.request);
            result.error().set_attempts(call.attempt).set_subject(subject).set_timeline(std::move(call.timeline));
        }
        report_end(call, result);
        return result;
    }

    template <class F>
    Result<Response> run(CallType& call, F& attempt) const {
        return std::apply(
            [&]<class... P>(const P&...) {
                return BlockingDriver<CallType, Response, F, P...>{stack_->policies, call, attempt}.run();
            },
            stack_->policies);
    }

    /// Each redirect takes a permit of its own.
    Result<void> permit_for(const Request& next) const {
        if (auto own = stack_->limiter.try_acquire(); !own) return own;
        return stack_->endpoints.try_acquire(next);
    }

    static void report_end(CallType& call, const Result<Response>& result) {
        if (!call.is_observed()) return;
        const Duration took = call.now() - call.began;
        if (result) {
            call.emit({.kind = EventKind::call_ended, .status = result->status, .took = took});
        } else {
            const Error& error = result.error();
            call.emit({.kind = EventKind::call_ended,
                       .policy = error.policy(),
                       .code = error.code(),
                       .status = error.status(),
                       .delay = error.retry_after(),
                       .took = took,
                       .stopped_by = error.stopped_by()});
        }
    }

    const Core& core_;
    const std::shared_ptr<const typename Core::Stack> stack_;
};

// Out of the class it is not inline, and an `extern template` keeps it from being instantiated again.
template <class Core>
Result<Response> ClientCaller<Core>::call(Request request, std::string_view target,
                                          const RequestOptions& options) const {
    const std::string subject = subject_for(request.method, target);
    if (auto ok = stack_->preparation.prepare(request, target, options); !ok) {
        redact(ok.error(), stack_->redaction, request);
        return fail(std::move(ok.error().set_subject(subject)));
    }
    if (options.save_to) return save(std::move(request), subject, options);
    return make(std::move(request), subject, options);
}

}  // namespace breakwater
