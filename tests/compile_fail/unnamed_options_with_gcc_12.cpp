// expect: Give them a name first
#include <breakwater/asio.hpp>
#include <breakwater/resilient_client.hpp>

#include <asio/use_awaitable.hpp>

namespace bw = breakwater;

asio::awaitable<void> ask(bw::AsioClient<bw::ResilientClient<>> client) {
    (void)co_await client.async_get("/a", {.deadline = bw::Duration{1}}, asio::use_awaitable);
}
