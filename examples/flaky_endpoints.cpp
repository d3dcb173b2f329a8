// A circuit in front of a real HTTP server that fails as it is told to, in real time: about 25 s.
#include <httplib.h>
#include <breakwater/breakwater.hpp>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <iomanip>
#include <iostream>
#include <mutex>
#include <random>
#include <sstream>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace bw = breakwater;
using namespace std::chrono_literals;

/// GET /success: 200. GET /failure: 500, every other one after 2 s. GET /random: one of the three.
class Server {
public:
    Server() {
        server_.Get("/success", [this](const auto&, auto& answer) { good(answer); });
        server_.Get("/failure", [this](const auto&, auto& answer) { bad(answer, failures_++ % 2 == 1); });
        server_.Get("/random", [this](const auto&, auto& answer) {
            const auto draw = [this] {
                const std::scoped_lock lock{mutex_};
                return random_() % 3;
            }();
            draw == 0 ? good(answer) : bad(answer, draw == 2);
        });
        port_ = server_.bind_to_any_port("127.0.0.1");
        thread_ = std::jthread{[this] { server_.listen_after_bind(); }};
        while (!server_.is_running()) std::this_thread::yield();
    }
    ~Server() { server_.stop(); }

    std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }
    unsigned requests() const { return requests_; }

private:
    void good(httplib::Response& answer) {
        ++requests_;
        answer.set_content("fine\n", "text/plain");
    }
    void bad(httplib::Response& answer, bool slowly) {
        ++requests_;
        if (slowly) std::this_thread::sleep_for(2s);
        answer.status = 500;
    }

    httplib::Server server_;
    std::atomic<unsigned> requests_{0}, failures_{0};
    std::mutex mutex_;
    std::mt19937 random_{3};
    int port_ = 0;
    std::jthread thread_;
};

const auto began = std::chrono::steady_clock::now();

void say(std::string_view what, std::string_view text) {
    std::ostringstream line;
    const std::chrono::duration<double> now = std::chrono::steady_clock::now() - began;
    line << std::fixed << std::setprecision(1) << std::setw(6) << now.count() << " s  " << std::left << std::setw(14)
         << what << text << '\n';
    std::cout << line.str() << std::flush;
}

std::vector<bw::CircuitState> states;  // as the observer sees them; all calls are made on one thread

void watch(const bw::Event& event) {
    const auto enter = [](bw::CircuitState state, const std::string& more) {
        states.push_back(state);
        say("", "--- circuit " + std::string{to_string(state)} + more + " ---");
    };
    switch (event.kind) {
        case bw::EventKind::circuit_opened:
            return enter(bw::CircuitState::open, " for " + bw::format_duration(*event.delay));
        case bw::EventKind::circuit_half_opened: return enter(bw::CircuitState::half_open, ": one call is let through");
        case bw::EventKind::circuit_closed: return enter(bw::CircuitState::closed, "");
        default: return;
    }
}

unsigned refused = 0, made = 0;

/// Makes a call, prints what came of it, and returns how long the circuit asks to be left alone.
bw::Duration call(const bw::ResilientClient<>& client, const std::string& path) {
    const auto answer = client.get(path);
    ++made;
    if (answer) {
        say(path, std::to_string(answer->status));
        return {};
    }
    const bw::Error& error = answer.error();
    if (!error.is_refusal(bw::Errc::circuit_open)) {
        say(path, error.status() ? std::to_string(*error.status()) : std::string{to_string(error.code())});
        return {};
    }
    ++refused;
    const bw::Duration wait = error.retry_after().value_or(0s);
    say(path, "not sent, retry after " + bw::format_duration(wait));
    return wait;
}

int main() {
    const Server server;
    const bw::ResilientClient client{bw::ClientOptions{
        .name = "flaky",
        .base_url = server.url(),
        .timeouts = {.attempt = 300ms, .connect = 300ms},
        .circuit_breaker = {.trip = bw::ConsecutiveFailures{5}, .recovery_timeout = 10s},
        .retry = {.max_retries = 0},
        .observer = watch,
    }};

    for (int i = 0; i < 3; ++i) call(client, "/success");
    for (int i = 0; i < 5; ++i) call(client, "/failure");  // the fifth opens the circuit
    call(client, "/success");                              // not sent, although it would work
    std::this_thread::sleep_for(1300ms);
    std::this_thread::sleep_for(call(client, "/success"));
    call(client, "/failure");  // the probe fails
    std::this_thread::sleep_for(call(client, "/success"));
    call(client, "/success");  // the probe works
    for (int i = 0; i < 12; ++i) call(client, "/random");

    using enum bw::CircuitState;
    const std::vector expected{open, half_open, open, half_open, closed};
    const bool as_expected = states.size() >= expected.size() &&
                             std::equal(expected.begin(), expected.end(), states.begin()) &&
                             server.requests() == made - refused;
    std::cout << "\n"
              << made << " calls, " << refused << " of them refused without I/O; the server saw " << server.requests()
              << '\n';
    if (!as_expected) std::cout << "NOT AS EXPECTED\n";
    return as_expected ? EXIT_SUCCESS : EXIT_FAILURE;
}
