#pragma once

#include <breakwater/detail/fork.hpp>
#include <breakwater/transport/curl/blocking_handle.hpp>
#include <breakwater/transport/curl/options.hpp>

#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

namespace breakwater::curl {

/// Idle handles, the last one used on top: its connection is the least likely to have been closed meanwhile.
///
/// After a fork the child starts with an empty shelf of its own. What it inherited stays untouched and is never freed:
/// closing it would say goodbye to the server on connections that the parent still uses (TLS), and the parent may
/// have held the mutex at the moment of the fork.
class Pool {
public:
    /// `options` are kept by reference.
    explicit Pool(const CurlOptions& options) : options_{options}, shelf_{new Shelf} {}
    ~Pool() {
        if (Shelf* shelf = shelf_.load(); shelf->fork == detail::current_fork()) delete shelf;
    }
    Pool(const Pool&) = delete;
    Pool& operator=(const Pool&) = delete;

    /// An idle handle, or a new one.
    std::unique_ptr<BlockingHandle> take() {
        Shelf& shelf = this->shelf();
        {
            const std::lock_guard lock{shelf.mutex};
            if (!shelf.idle.empty()) {
                auto handle = std::move(shelf.idle.back());
                shelf.idle.pop_back();
                return handle;
            }
        }
        return std::make_unique<BlockingHandle>(options_);
    }

    /// Keeps the handle for later, or closes it if enough are idle.
    void give_back(std::unique_ptr<BlockingHandle> handle) {
        Shelf& shelf = this->shelf();
        const std::lock_guard lock{shelf.mutex};
        if (shelf.idle.size() < options_.max_idle) shelf.idle.push_back(std::move(handle));
    }  // `handle` is a parameter: it is closed after the lock is released

private:
    struct Shelf {
        const unsigned fork = detail::current_fork();
        std::mutex mutex;
        std::vector<std::unique_ptr<BlockingHandle>> idle;
    };

    Shelf& shelf() {
        Shelf* shelf = shelf_.load(std::memory_order_acquire);
        if (shelf->fork == detail::current_fork()) [[likely]]
            return *shelf;
        auto own = std::make_unique<Shelf>();
        if (shelf_.compare_exchange_strong(shelf, own.get(), std::memory_order_acq_rel)) return *own.release();
        return *shelf;  // another thread of this process was first
    }

    const CurlOptions& options_;
    std::atomic<Shelf*> shelf_;
};

}  // namespace breakwater::curl
