#pragma once

#include <httplib.h>
#include <sys/socket.h>

#include <atomic>
#include <chrono>
#include <string>
#include <thread>

namespace partner_api {

/// The partner, on a port of its own. Every answer takes it 50 ms.
///
/// GET /partners/ID: who that is. GET /partners/ID/location: where, if that part of it is not down. POST /fraud-score:
/// how likely the customer in the body is a fraud.
class PartnerService {
public:
    PartnerService() {
        // A thread for each connection, since these are kept alive.
        server_.new_task_queue = [] { return new httplib::ThreadPool{128}; };
        server_.Get(R"(/partners/\d+)", [this](const httplib::Request&, httplib::Response& answer) {
            give(answer, R"({"name":"Delta Dairy","tier":"gold"})");
        });
        server_.Get(R"(/partners/\d+/location)", [this](const httplib::Request&, httplib::Response& answer) {
            ++location_requests;
            if (location_is_down) {
                answer.status = 503;
                return give(answer, R"({"error":"down for repair"})");
            }
            give(answer, R"({"location":{"lat":52.37,"lon":4.9},"source":"partner"})");
        });
        server_.Post("/fraud-score",
                     [this](const httplib::Request&, httplib::Response& answer) { give(answer, R"({"score":0.07})"); });
        // httplib lets 5 connections wait to be accepted. Here 100 come at once; the rest would try again in a second.
        server_.set_socket_options([this](int socket) { listener_ = socket; });
        port_ = server_.bind_to_any_port("127.0.0.1");
        ::listen(listener_, 128);
        thread_ = std::jthread{[this] { server_.listen_after_bind(); }};
        while (!server_.is_running()) std::this_thread::yield();
    }
    ~PartnerService() { server_.stop(); }
    PartnerService(const PartnerService&) = delete;
    PartnerService& operator=(const PartnerService&) = delete;

    std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }

    std::atomic<bool> location_is_down{false};
    std::atomic<int> location_requests{0};
    std::atomic<int> most_at_once{0};

private:
    void give(httplib::Response& answer, const char* json) {
        const int now = ++at_once_;
        for (int most = most_at_once; now > most && !most_at_once.compare_exchange_weak(most, now);) {
        }
        std::this_thread::sleep_for(std::chrono::milliseconds{50});
        --at_once_;
        answer.set_content(json, "application/json");
    }

    httplib::Server server_;
    std::atomic<int> at_once_{0};
    int listener_ = -1;
    int port_ = 0;
    std::jthread thread_;
};

}  // namespace partner_api
