#include <breakwater/asio/start.hpp>
#include <breakwater/task/sleep.hpp>

namespace bw = breakwater;

bw::Task<int> answer() {
    (void)co_await bw::sleep_for(bw::Duration{1'000});
    co_return 42;
}

int main() {
    bw::asio_library::io_context io;
    int got = 0;
    bw::async_start(io, answer(), [&got](std::exception_ptr, int value) { got = value; });
    io.run();
    return got == 42 ? 0 : 1;
}
