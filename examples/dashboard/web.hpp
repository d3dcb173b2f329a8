#pragma once

#include <breakwater/observe/metrics.hpp>

#include <arpa/inet.h>
#include <httplib.h>

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <fstream>
#include <functional>
#include <iterator>
#include <mutex>
#include <nlohmann/json.hpp>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

namespace dashboard {

namespace bw = breakwater;

/// The page, the stream of what it shows (server-sent events), and what its buttons do.
///
/// The buttons are for this machine alone: they need a peer on loopback and the token that only our own page holds,
/// which a page of another site cannot read. A name in `Host` that is not "localhost" is refused, so that nobody's
/// domain can be made to point here.
class Web {
public:
    struct Show {
        std::function<nlohmann::json()> state;
        std::function<std::string()> metrics;  ///< For Prometheus.
        /// What a button does: a subject, a name, a word. False: there is no such button.
        std::function<bool(const std::string&, const std::string&, const std::string&)> press;
    };

    Web(const std::string& host, int port, const std::string& folder, Show show)
        : page_{read(folder + "/index.html")}, show_{std::move(show)} {
        http_.new_task_queue = [] { return new httplib::ThreadPool(64); };
        http_.set_pre_routing_handler([this](const auto& request, auto& response) { return guard(request, response); });
        http_.Get("/", [this](const auto& request, auto& response) { show_page(request, response); });
        serve("/style.css", folder + "/style.css", "text/css");
        serve("/dashboard.js", folder + "/dashboard.js", "text/javascript");
        serve("/chart.js", "/usr/share/javascript/chart.js/chart.min.js", "text/javascript");
        http_.Get("/state", [this](const auto&, auto& response) {
            response.set_content(show_.state().dump(), "application/json");
        });
        http_.Get("/metrics", [this](const auto&, auto& response) {
            response.set_content(show_.metrics(), bw::Metrics::content_type);
        });
        http_.Get("/events", [this](const auto&, auto& response) { stream(response); });
        http_.Post(R"(/(circuit|weather)/([a-z_]+)/([a-z_]+))",
                   [this](const auto& request, auto& response) { press(request, response); });
        port_ = port == 0 ? http_.bind_to_any_port(host) : http_.bind_to_port(host, port) ? port : -1;
        if (port_ < 0) throw std::runtime_error{"cannot listen on " + host + ":" + std::to_string(port)};
        thread_ = std::jthread{[this] { http_.listen_after_bind(); }};
        while (!http_.is_running()) std::this_thread::yield();
    }
    Web(const Web&) = delete;
    Web& operator=(const Web&) = delete;
    ~Web() {
        is_over_ = true;
        over_.notify_all();
        http_.stop();
    }

    int port() const noexcept { return port_; }

private:
    using Handled = httplib::Server::HandlerResponse;

    static std::string read(const std::string& path) {
        std::ifstream file{path};
        if (!file) throw std::runtime_error{path + ": cannot be read"};
        return {std::istreambuf_iterator<char>{file}, {}};
    }
    static std::string random_token() {
        std::random_device random;
        std::array<char, 33> text{};
        std::snprintf(text.data(), text.size(), "%08x%08x%08x%08x", random(), random(), random(), random());
        return text.data();
    }
    static bool is_loopback(const httplib::Request& request) {
        return request.remote_addr == "::1" || request.remote_addr.starts_with("127.");
    }
    static bool is_named_by_address(std::string host) {
        if (const auto colon = host.rfind(':');
            colon != std::string::npos && host.find(']', colon) == std::string::npos)
            host.resize(colon);
        if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
        std::array<unsigned char, 16> address{};
        return host == "localhost" || ::inet_pton(AF_INET, host.c_str(), address.data()) == 1 ||
               ::inet_pton(AF_INET6, host.c_str(), address.data()) == 1;
    }

    static void refuse(httplib::Response& response, int status, std::string_view why) {
        response.status = status;
        response.set_content(nlohmann::json{{"error", why}}.dump(), "application/json");
    }
    Handled guard(const httplib::Request& request, httplib::Response& response) {
        response.set_header("Content-Security-Policy", "default-src 'self'; frame-ancestors 'none'");
        response.set_header("X-Content-Type-Options", "nosniff");
        response.set_header("Cache-Control", "no-store");
        if (is_named_by_address(request.get_header_value("Host"))) return Handled::Unhandled;
        refuse(response, 403, "call this server by its address");
        return Handled::Handled;
    }
    void serve(const char* target, const std::string& path, const char* type) {
        http_.Get(target, [text = read(path), type](const auto&, auto& response) { response.set_content(text, type); });
    }
    /// Only who may press its buttons is given the token.
    void show_page(const httplib::Request& request, httplib::Response& response) const {
        std::string page = page_;
        constexpr std::string_view mark = "TOKEN";
        if (const auto at = page.find(mark); at != std::string::npos)
            page.replace(at, mark.size(), is_loopback(request) ? token_ : std::string{});
        response.set_content(page, "text/html; charset=utf-8");
    }
    void stream(httplib::Response& response) {
        response.set_chunked_content_provider("text/event-stream", [this](std::size_t, httplib::DataSink& sink) {
            const std::string message = "data: " + show_.state().dump() + "\n\n";
            if (is_over_ || !sink.write(message.data(), message.size())) return false;
            std::unique_lock lock{mutex_};
            return !over_.wait_for(lock, std::chrono::milliseconds{500}, [this] { return is_over_.load(); });
        });
    }
    void press(const httplib::Request& request, httplib::Response& response) const {
        if (!is_loopback(request)) return refuse(response, 403, "only from this machine");
        if (request.get_header_value("X-Dashboard-Token") != token_)
            return refuse(response, 403, "the page's token is missing");
        if (!show_.press(request.matches[1], request.matches[2], request.matches[3]))
            return refuse(response, 404, "no such button");
        response.set_content("{}", "application/json");
    }

    const std::string page_;
    const std::string token_ = random_token();
    const Show show_;
    std::atomic<bool> is_over_ = false;
    std::mutex mutex_;
    std::condition_variable over_;
    httplib::Server http_;
    int port_ = -1;
    std::jthread thread_;
};

}  // namespace dashboard
