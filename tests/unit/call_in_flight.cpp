// What one asynchronous call holds while its answer is waited for.
#include <breakwater/resilient_client.hpp>
#include <breakwater/task/start.hpp>
#include <breakwater/transport/curl/engine.hpp>
#include <breakwater/transport/curl/sending.hpp>

#include <allocations.hpp>
#include <catch_shim.hpp>

#include <coroutine>
#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

namespace bw = breakwater;

namespace {

/// Answers when it is told to, and not before.
class SilentTransport {
public:
    class Sending {
    public:
        explicit Sending(const SilentTransport& own) noexcept : waiting_{*own.waiting_} {}
        static bool await_ready() noexcept { return false; }
        void await_suspend(std::coroutine_handle<> caller) { waiting_.push_back(caller); }
        static bw::Result<bw::Response> await_resume() { return bw::Response{.status = 200}; }

    private:
        std::vector<std::coroutine_handle<>>& waiting_;
    };

    static bw::Result<bw::Response> send(const bw::Request&, const bw::SendOptions&) {
        return bw::fail(bw::Errc::transport_failed);
    }
    Sending async_send(const bw::Request&, const bw::SendOptions&) const noexcept { return Sending{*this}; }

    std::size_t waiting() const noexcept { return waiting_->size(); }
    void expect(std::size_t calls) const { waiting_->reserve(calls); }
    void answer() const {
        for (const auto caller : std::exchange(*waiting_, {})) caller.resume();
    }

private:
    std::shared_ptr<std::vector<std::coroutine_handle<>>> waiting_ =
        std::make_shared<std::vector<std::coroutine_handle<>>>();
};

// Of the engine: what lies in the frame of the call, and the handle without libcurl's buffer for its messages.
static_assert(sizeof(bw::curl::Sending) + sizeof(bw::curl::PooledHandle) - CURL_ERROR_SIZE <= 448);

}  // namespace

TEST_CASE("a call in flight takes less than 1.7 kilobytes beyond its transport's own") {
    constexpr std::size_t calls = 100;
    const SilentTransport service;
    const bw::ResilientClient client{bw::ClientOptions{.name = "dairy", .base_url = "https://api.example.com/v1"},
                                     service};
    std::size_t answered = 0;
    const auto begin = [&] {
        bw::start(client.async_get("/inventory"), [&](const auto& answer) { answered += answer ? 1 : 0; });
    };
    begin();  // what is made once
    service.expect(calls + 1);
    const auto before = test::bytes_in_use.load();
    for (std::size_t i = 0; i < calls; ++i) begin();
    if (test::counts_bytes) {
        CHECK((test::bytes_in_use.load() - before) / calls <= 1'700);
    }
    CHECK(service.waiting() == calls + 1);
    service.answer();
    CHECK(answered == calls + 1);
}
