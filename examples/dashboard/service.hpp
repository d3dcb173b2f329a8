#pragma once

#include <httplib.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace dashboard {

enum class Weather : std::uint8_t { well, slow, flaky, down };

constexpr std::string_view to_string(Weather weather) noexcept {
    switch (weather) {
        case Weather::well: return "well";
        case Weather::slow: return "slow";
        case Weather::flaky: return "flaky";
        case Weather::down: return "down";
    }
    return "unknown";
}
inline std::optional<Weather> weather_from(std::string_view word) noexcept {
    for (const Weather weather : {Weather::well, Weather::slow, Weather::flaky, Weather::down})
        if (word == to_string(weather)) return weather;
    return {};
}

/// A service that is called: well until its weather is made another.
class Service {
public:
    explicit Service(std::string name) : name_{std::move(name)} {
        http_.new_task_queue = [] { return new httplib::ThreadPool(32); };
        http_.set_tcp_nodelay(true);
        http_.Get("/" + name_, [this](const httplib::Request&, httplib::Response& response) { answer(response); });
        const int port = http_.bind_to_any_port("127.0.0.1");
        if (port < 0) throw std::runtime_error{"no port for " + name_};
        url_ = "http://127.0.0.1:" + std::to_string(port);
        thread_ = std::jthread{[this] { http_.listen_after_bind(); }};
        while (!http_.is_running()) std::this_thread::yield();
    }
    Service(const Service&) = delete;
    Service& operator=(const Service&) = delete;
    ~Service() { http_.stop(); }

    const std::string& name() const noexcept { return name_; }
    const std::string& url() const noexcept { return url_; }
    Weather weather() const noexcept { return weather_; }
    void set(Weather weather) noexcept { weather_ = weather; }

private:
    void answer(httplib::Response& response) {
        using namespace std::chrono_literals;
        const unsigned number = ++requests_;
        const Weather weather = weather_;
        // One answer in fifty takes long even on a good day.
        std::this_thread::sleep_for(weather == Weather::slow ? 700ms
                                    : number % 50 == 0       ? 250ms
                                                             : 5ms + number % 7 * 2ms);
        const bool is_broken = weather == Weather::down || (weather == Weather::flaky && number % 3 == 0);
        response.status = is_broken ? 503 : 200;
        response.set_content(is_broken ? R"({"error": "out of order"})" : R"({"items": 42})", "application/json");
    }

    const std::string name_;
    std::string url_;
    std::atomic<Weather> weather_ = Weather::well;
    std::atomic<unsigned> requests_ = 0;
    httplib::Server http_;
    std::jthread thread_;
};

}  // namespace dashboard
