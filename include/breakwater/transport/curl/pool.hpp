#pragma once

#include <breakwater/transport/counts.hpp>
#include <breakwater/transport/curl/blocking_handle.hpp>
#include <breakwater/transport/curl/global.hpp>
#include <breakwater/transport/curl/options.hpp>

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string_view>
#include <utility>
#include <vector>

namespace breakwater::curl {

/// Idle handles, the last one used on top: its connection is the least likely to have been closed meanwhile.
///
/// After a fork the child starts with an empty shelf of its own. What it inherited stays untouched and is never freed:
/// closing it would say goodbye to the server on connections that the parent still uses (TLS), and the parent may
/// have held the mutex at the moment of the fork.
class Pool {
public:
    explicit Pool(CurlOptions options) : options_{std::move(options)}, shelf_{new Shelf} {}
    ~Pool() {
        if (Shelf* shelf = shelf_.load(); shelf->fork == current_fork()) delete shelf;
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

    /// Notes an exchange: the HTTP version of its answer, empty if there was none.
    void count(long opened, std::string_view version) noexcept {
        constexpr auto order = std::memory_order_relaxed;
        requests_.fetch_add(1, order);
        if (opened > 0) connections_.fetch_add(static_cast<std::uint64_t>(opened), order);
        if (version.empty()) return;
        answers_.fetch_add(1, order);
        if (opened == 0) reused_.fetch_add(1, order);
        if (version == "2") http2_.fetch_add(1, order);
        if (version.starts_with("1.")) http1_.fetch_add(1, order);
    }
    TransportCounts counts() const noexcept {
        constexpr auto order = std::memory_order_relaxed;
        return {.requests = requests_.load(order),
                .answers = answers_.load(order),
                .connections = connections_.load(order),
                .reused = reused_.load(order),
                .http1 = http1_.load(order),
                .http2 = http2_.load(order)};
    }

private:
    struct Shelf {
        const unsigned fork = current_fork();
        std::mutex mutex;
        std::vector<std::unique_ptr<BlockingHandle>> idle;
    };

    static unsigned current_fork() noexcept { return fork_count.load(std::memory_order_relaxed); }

    Shelf& shelf() {
        Shelf* shelf = shelf_.load(std::memory_order_acquire);
        if (shelf->fork == current_fork()) [[likely]]
            return *shelf;
        auto own = std::make_unique<Shelf>();
        if (shelf_.compare_exchange_strong(shelf, own.get(), std::memory_order_acq_rel)) return *own.release();
        return *shelf;  // another thread of this process was first
    }

    const CurlOptions options_;
    std::atomic<Shelf*> shelf_;
    std::atomic<std::uint64_t> requests_{0};
    std::atomic<std::uint64_t> answers_{0};
    std::atomic<std::uint64_t> connections_{0};
    std::atomic<std::uint64_t> reused_{0};
    std::atomic<std::uint64_t> http1_{0};
    std::atomic<std::uint64_t> http2_{0};
};

}  // namespace breakwater::curl
