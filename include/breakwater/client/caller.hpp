#pragma once

#include <breakwater/client/exchange.hpp>
#include <breakwater/client/flight.hpp>
#include <breakwater/client/prepare.hpp>
#include <breakwater/client/request_options.hpp>
#include <breakwater/http/method.hpp>
#include <breakwater/http/redact.hpp>
#include <breakwater/http/request.hpp>
#include <breakwater/http/response.hpp>
#include <breakwater/pipeline/asking_driver.hpp>
#include <breakwater/pipeline/coroutine_driver.hpp>
#include <breakwater/result.hpp>
#include <breakwater/task.hpp>
#include <breakwater/task/start.hpp>
#include <breakwater/transport/transport.hpp>

#include <memory>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

namespace breakwater {

/// What a task keeps of the options of its call: not much if it was told nothing, as most are.
using OwnRequestOptions = std::shared_ptr<const RequestOptions>;

inline OwnRequestOptions no_request_options() {
    static const RequestOptions& none = *new RequestOptions;  // never destroyed: calls may be under way at exit
    return OwnRequestOptions{OwnRequestOptions{}, &none};
}

/// Makes one call of a client, by the options that the client has when this is made. Not to be kept: it refers to the
/// client's pointer to its core.
template <class Core>
class ClientCaller {
public:
    explicit ClientCaller(const std::shared_ptr<Core>& core) : core_{core}, stack_{core->stack()} {}

    Result<Response> call(Request&& request, std::string_view target, const RequestOptions& options) const;

    /// As a task, which keeps all it needs.
    Task<Result<Response>> async_call(Request&& request, std::string_view target, OwnRequestOptions options) const;

    template <class T>
    Result<T> decoded(const Method& method, std::string_view target, const RequestOptions& options) const {
        return decode<T>(call(Request{.method = method}, target, options), *stack_, subject_for(method, target));
    }
    template <class T>
    Task<Result<T>> async_decoded(const Method& method, std::string_view target, OwnRequestOptions options) const {
        return decode_later<T>(async_call(Request{.method = method}, target, std::move(options)), stack_,
                               subject_for(method, target));
    }

private:
    using Stack = typename Core::Stack;

    template <class T>
    static Result<T> decode(const Result<Response>& answer, const Stack& stack, std::string subject) {
        Result<T> result = decode_as<T>(answer);
        if (answer && !result) {
            redact(result.error(), stack.redaction, Request{});
            result.error()
                .set_subject(std::move(subject))
                .set_attempts(static_cast<unsigned>(answer->timeline.size()))
                .set_timeline(answer->timeline);
        }
        return result;
    }
    template <class T>
    static Task<Result<T>> decode_later(Task<Result<Response>> call, std::shared_ptr<const Stack> stack,
                                        std::string subject) {
        co_return decode<T>(co_await call, *stack, std::move(subject));
    }
    static Task<Result<Response>> refused(Error error) { co_return fail(std::move(error)); }

    std::string subject_for(const Method& method, std::string_view target) const {
        std::string subject = subject_of(method, target);
        if (stack_->redaction.is_telling(subject)) [[unlikely]]
            subject = stack_->redaction.text(subject);
        return subject;
    }

    /// The request as it is sent, or what is wrong with it.
    Result<void> prepare(Request& request, std::string_view target, const RequestOptions& options,
                         const std::string& subject) const {
        auto ok = stack_->preparation.prepare(request, target, options);
        if (ok) return ok;
        redact(ok.error(), stack_->redaction, request);
        return fail(std::move(ok.error().set_subject(subject)));
    }

    /// A complete request's call.
    Task<Result<Response>> fly(Request&& request, std::string&& subject, OwnRequestOptions&& options) const {
        using Flight = ClientFlight<std::shared_ptr<const Core>, OwnRequestOptions>;
        Flight flight{core_, stack_, std::move(request), std::move(subject), std::move(options)};
        if (auto ok = flight.open(); !ok) return refused(std::move(ok.error()));
        return CoroutineDriver<Flight>::run(std::move(flight));
    }

    const std::shared_ptr<Core>& core_;
    const std::shared_ptr<const Stack> stack_;
};

// Out of the class they are not inline, and an `extern template` keeps them from being instantiated again.

template <class Core>
Result<Response> ClientCaller<Core>::call(Request&& request, std::string_view target,
                                          const RequestOptions& options) const {
    std::string subject = subject_for(request.method, target);
    if constexpr (requires { core_->transport().is_own_thread(); }) {
        if (core_->transport().is_own_thread()) [[unlikely]]  // also where nothing is sent: waits would be as bad
            return fail(std::move(Error{Errc::would_deadlock}.set_subject(subject)));
    }
    if (auto ok = prepare(request, target, options, subject); !ok) return fail(std::move(ok.error()));
    if constexpr (AsyncTransport<typename Core::Transport>) {
        if (stack_->options.hedge.max_hedges > 0) [[unlikely]]
            return sync_wait(
                fly(std::move(request), std::move(subject), std::make_shared<const RequestOptions>(options)));
    }
    ClientFlight<const Core*, const RequestOptions*> flight{core_.get(), stack_, std::move(request), std::move(subject),
                                                            &options};
    if (auto ok = flight.open(); !ok) return fail(std::move(ok.error()));
    auto& call = flight.begin(&options.stop);
    auto attempt = [&](auto& own) { return flight.attempt_here(own); };
    Result<Response> result = std::apply(
        [&]<class... P>(const P&...) {
            using Driver = DriverHere<std::remove_cvref_t<decltype(call)>, Response, decltype(attempt), P...>;
            return Driver{flight.policies(), call, attempt}.run();
        },
        flight.policies());
    flight.end(call, result);
    return result;
}

template <class Core>
Task<Result<Response>> ClientCaller<Core>::async_call(Request&& request, std::string_view target,
                                                      OwnRequestOptions options) const {
    static_assert(AsyncTransport<typename Core::Transport>,
                  "breakwater: this client's transport has no async_send, so it cannot make asynchronous calls");
    std::string subject = subject_for(request.method, target);
    if (auto ok = prepare(request, target, *options, subject); !ok) return refused(std::move(ok.error()));
    return fly(std::move(request), std::move(subject), std::move(options));
}

}  // namespace breakwater
