#pragma once

#include <breakwater/asio/namespace.hpp>
#include <breakwater/asio/operation.hpp>
#include <breakwater/asio/scheduler.hpp>
#include <breakwater/detail/exceptions.hpp>
#include <breakwater/pipeline/callable.hpp>
#include <breakwater/result.hpp>
#include <breakwater/task.hpp>
#include <breakwater/task/context.hpp>
#include <breakwater/task/detached.hpp>
#include <breakwater/task/resume_on.hpp>

#include <exception>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

namespace breakwater {

namespace detail {

template <class T>
struct AsioSignatureOf {
    using type = void(std::exception_ptr, T);
};
template <class T>
    requires is_result<T>
struct AsioSignatureOf<T> {
    using type = void(T);
};
template <>
struct AsioSignatureOf<void> {
    using type = void(std::exception_ptr);
};

}  // namespace detail

/// What a task of a `T` completes with: a `Result` as it is, else `std::exception_ptr` and a `T`.
template <class T>
using AsioSignature = typename detail::AsioSignatureOf<T>::type;

namespace detail {

/// Runs the task, and calls the operation's handler with what comes of it.
template <class T, class Handler>
Detached run_for_asio(TaskContext, std::unique_ptr<AsioOperation<Handler>> operation, Task<T> task) {
    if constexpr (std::is_void_v<T>) {
        std::exception_ptr thrown;
        BREAKWATER_TRY {
            Task<T> own = std::move(task);  // all that it holds is gone before the handler is called
            co_await own;
        }
        BREAKWATER_CATCH_ALL { thrown = std::current_exception(); }
        co_await resume_on_scheduler();
        operation->complete(std::move(thrown));
    } else if constexpr (is_result<T>) {
        std::optional<T> result;
        BREAKWATER_TRY {
            Task<T> own = std::move(task);
            result.emplace(co_await own);
        }
        BREAKWATER_CATCH_ALL { result.emplace(fail(error_in_flight())); }
        co_await resume_on_scheduler();
        operation->complete(*std::move(result));
    } else {
        std::exception_ptr thrown;
        T value{};
        BREAKWATER_TRY {
            Task<T> own = std::move(task);
            value = co_await own;
        }
        BREAKWATER_CATCH_ALL { thrown = std::current_exception(); }
        co_await resume_on_scheduler();
        operation->complete(std::move(thrown), std::move(value));
    }
}

/// Begins a task for a completion handler.
class AsioInitiation {
public:
    using executor_type = asio_library::io_context::executor_type;

    explicit AsioInitiation(std::shared_ptr<AsioScheduler> scheduler) noexcept : scheduler_{std::move(scheduler)} {}
    executor_type get_executor() const noexcept { return scheduler_->context().get_executor(); }

    template <class Handler, class T>
    void operator()(Handler&& handler, Task<T> task) {
        // The handler lives there alone, where the end of the `io_context` finds it.
        auto operation =
            std::make_unique<AsioOperation<std::decay_t<Handler>>>(scheduler_, std::forward<Handler>(handler));
        TaskContext context{operation->stop(), scheduler_.get()};
        run_for_asio<T>(std::move(context), std::move(operation), std::move(task));
    }

private:
    std::shared_ptr<AsioScheduler> scheduler_;
};

template <class T, class Token>
auto start_for_asio(std::shared_ptr<AsioScheduler> scheduler, Task<T> task, Token&& token) {
    return asio_library::async_initiate<Token, AsioSignature<T>>(AsioInitiation{std::move(scheduler)}, token,
                                                                 std::move(task));
}

#if defined(BREAKWATER_ASIO_HAS_AWAITABLE) && !defined(__clang__) && __GNUC__ < 13
/// g++ 12 destroys aggregates that stand in a `co_await` expression twice, so they must not be given to a call there.
#define BREAKWATER_ASIO_NEEDS_NAMES
template <class R>
inline constexpr bool is_asio_awaitable = false;
template <class T, class E>
inline constexpr bool is_asio_awaitable<asio_library::awaitable<T, E>> = true;

/// A token by which a call is awaited where it is made.
template <class Token>
concept AsioAwaitToken = requires {
    typename asio_library::async_result<std::decay_t<Token>, void(Result<int>)>::return_type;
} && is_asio_awaitable<typename asio_library::async_result<std::decay_t<Token>, void(Result<int>)>::return_type>;

template <class Token>
void refuse_unnamed() {
    static_assert(
        !AsioAwaitToken<Token>,
        "breakwater: g++ 12 destroys the options of this call twice if they stand where it is awaited. Give "
        "them a name first: `const bw::RequestOptions options{…}; co_await client.async_get(…, options, …);`");
}
#endif

}  // namespace detail

/// Begins a task now, on the calling thread, for a completion token: `use_awaitable`, `use_future`, a callback. The
/// task goes on by the `io_context`, where its timers are (see `AsioScheduler`), which `run` does not leave before the
/// task's end; the handler is called by its own executor, else by the `io_context`'s.
///
///     bw::Result<bw::Response> page = co_await bw::async_start(io, client.async_get("/users/42"),
///     asio::use_awaitable);
///
/// Completes with a `Result` as it is, and what else was thrown in it; a task of another `T`, which has to have a
/// default, with `void(std::exception_ptr, T)`. A signal of the handler's cancellation slot (`terminal` or `partial`)
/// is a stop request. The end of the `io_context` is one, too; the handler is destroyed with it, uncalled.
template <class T, class Token>
auto async_start(asio_library::io_context& context, Task<T> task, Token&& token) {
    return detail::start_for_asio(AsioScheduler::of(context), std::move(task), std::forward<Token>(token));
}
#ifdef BREAKWATER_ASIO_NEEDS_NAMES
template <class T, detail::AsioAwaitToken Token>
void async_start(asio_library::io_context&, NamedTask<T>&&, Token&&) {
    detail::refuse_unnamed<Token>();
}
#endif

}  // namespace breakwater
