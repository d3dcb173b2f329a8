#pragma once

#include <breakwater/asio/namespace.hpp>
#include <breakwater/asio/scheduler.hpp>
#include <breakwater/detail/stop_link.hpp>

#include <memory>
#include <optional>
#include <stop_token>
#include <tuple>
#include <utility>

namespace breakwater::detail {

/// A completion handler until it is called: with its executor's work, so that `run` does not return before, and with
/// the `io_context`'s own.
template <class Handler>
class AsioOperation final : AsioScheduler::Pending {
    using IoExecutor = asio_library::io_context::executor_type;
    using Executor = asio_library::associated_executor_t<Handler, IoExecutor>;

public:
    template <class H>
    AsioOperation(std::shared_ptr<AsioScheduler> scheduler, H&& handler)
        : scheduler_{std::move(scheduler)}, own_{std::in_place, scheduler_->context(), std::forward<H>(handler)} {
        heed_signals();
        scheduler_->add(*this);
    }
    ~AsioOperation() { scheduler_->remove(*this); }

    /// A signal of the handler's cancellation slot, and the end of the `io_context`.
    std::stop_token stop() const noexcept { return link_ ? signalled_.get_token() : scheduler_->closing(); }

    /// Has the handler called where it wishes to be, never within this call. On the scheduler's thread only.
    template <class... V>
    void complete(V... values) {
        scheduler_->remove(*this);
        if (!own_) return;  // the `io_context` is gone
        Own own = std::move(*own_);
        own_.reset();
        // Posted, not called: what it throws leaves `run`. Then dispatched to its executor, as Asio's own operations
        // do; one of Asio's executors starts threads if it is posted to.
        asio_library::post(own.io.get_executor(), Completion<V...>{std::move(own.handler), own.executor.get_executor(),
                                                                   std::tuple<V...>{std::move(values)...}});
    }

private:
    struct Own {
        template <class H>
        Own(asio_library::io_context& context, H&& given)
            : io{context.get_executor()},
              executor{asio_library::get_associated_executor(given, io.get_executor())},
              handler{std::forward<H>(given)} {}
        asio_library::executor_work_guard<IoExecutor> io;
        asio_library::executor_work_guard<Executor> executor;
        Handler handler;
    };

    /// The handler with what it is called with.
    template <class... V>
    class Completion {
    public:
        using executor_type = Executor;
        using allocator_type = asio_library::associated_allocator_t<Handler>;

        Completion(Handler&& handler, const Executor& executor, std::tuple<V...>&& values)
            : handler_{std::move(handler)}, executor_{executor}, values_{std::move(values)} {}
        executor_type get_executor() const noexcept { return executor_; }
        allocator_type get_allocator() const noexcept { return asio_library::get_associated_allocator(handler_); }

        void operator()() {
            std::apply([this](V&... values) { std::move(handler_)(std::move(values)...); }, values_);
        }

    private:
        Handler handler_;
        Executor executor_;
        std::tuple<V...> values_;
    };

    void heed_signals() {
#ifdef BREAKWATER_ASIO_HAS_CANCELLATION
        auto slot = asio_library::get_associated_cancellation_slot(own_->handler);
        if (!slot.is_connected()) return;
        signalled_ = std::stop_source{};
        link_.emplace(scheduler_->closing(), signalled_);
        // Refers to nothing of the operation's: a signal may come after its end. `total` alone is not to be had: the
        // service may have the request.
        slot.assign([stop = signalled_](asio_library::cancellation_type type) mutable {
            using Type = asio_library::cancellation_type;
            if ((type & (Type::terminal | Type::partial)) != Type::none) stop.request_stop();
        });
#endif
    }

    void abandon() noexcept override { own_.reset(); }

    const std::shared_ptr<AsioScheduler> scheduler_;
    std::optional<Own> own_;
    std::stop_source signalled_{std::nostopstate};
    std::optional<StopLink> link_;
};

}  // namespace breakwater::detail
