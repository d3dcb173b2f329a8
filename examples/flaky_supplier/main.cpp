// A supplier's HTTP API that behaves badly on purpose: GET /inventory?page=1&per_page=100, by a script of weather.
//
//   flaky_supplier [--port N] [--port-file FILE] [--weather fair|show|down|steps] [--broken N] [--lifetime SECONDS]
//   flaky_supplier --catalogue FILE        writes the SKUs its customer knows and ends
//
// "steps" is fair, down, fair, down, hanging, fair: SIGUSR1 goes on to the next.
// It listens on 127.0.0.1, wants "Authorization: Bearer <anything>", tells its own counts at GET /_stats, and prints
// them when SIGINT or SIGTERM ends it.
#include <httplib.h>
#include <unistd.h>

#include <atomic>
#include <charconv>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iomanip>
#include <iostream>
#include <map>
#include <mutex>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "products.hpp"
#include "reset.hpp"
#include "weather.hpp"

namespace {

using namespace std::chrono_literals;
using namespace flaky;

std::vector<Phase> script(std::string_view name) {
    if (name == "fair") return {{.name = "fair", .text = "every request is answered"}};
    if (name == "down") {
        return {{.name = "down", .text = "nothing works", .fate = Fate::unavailable_503, .strikes = "x"}};
    }
    if (name == "steps") {
        const Phase fair{.name = "fair", .text = "every request is answered"};
        const Phase down{.name = "down", .text = "nothing works", .fate = Fate::unavailable_503, .strikes = "x"};
        const Phase hanging{.name = "hanging", .text = "answers take 2 s", .fate = Fate::too_slow, .strikes = "x"};
        return {fair, down, fair, down, hanging, fair};
    }
    if (name != "show") throw std::invalid_argument{"--weather: fair, show, down or steps"};
    return {
        {.name = "fair", .text = "every request is answered", .pages = 12},
        {.name = "errors", .text = "30 % get a 500", .fate = Fate::error_500, .strikes = "..x..xx...", .pages = 12},
        {.name = "throttled",
         .text = "some get a 429, \"come back in 2 s\"",
         .fate = Fate::throttled_429,
         .strikes = "..x..x....",
         .pages = 6},
        {.name = "slow", .text = "some answers take 2 s", .fate = Fate::too_slow, .strikes = ".x..x..x..", .pages = 5},
        {.name = "resets",
         .text = "some connections are reset",
         .fate = Fate::reset,
         .strikes = "x..x.x..x.",
         .pages = 5},
        {.name = "outage",
         .text = "every request gets a 503",
         .fate = Fate::unavailable_503,
         .strikes = "x",
         .lasts = 7s},
        {.name = "blackout",
         .text = "connections are refused",
         .fate = Fate::reset,
         .strikes = "x",
         .lasts = 6s,
         .refuses_connections = true},
        {.name = "recovery", .text = "every request is answered"},
    };
}

/// A wait that the end of the program cuts short.
void pause_for(Clock::duration span, const std::stop_token& stop) {
    std::mutex mutex;
    std::condition_variable_any wake;
    std::unique_lock lock{mutex};
    wake.wait_for(lock, stop, span, [] { return false; });
}

/// A positive number from the query, or 0.
std::size_t number(const httplib::Request& request, const char* name) {
    const std::string text = request.get_param_value(name);
    std::size_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    return error == std::errc{} && end == text.data() + text.size() && value <= 1'000'000 ? value : 0;
}

void answer_json(httplib::Response& response, const nlohmann::json& body, int status = 200) {
    response.status = status;
    response.set_content(body.dump(), "application/json");
}

void answer_error(httplib::Response& response, int status, const char* text) {
    answer_json(response, {{"error", text}}, status);
}

/// Serves the products, through the weather.
class Supplier {
public:
    Supplier(Weather& weather, const Products& products, std::stop_token stop)
        : weather_{weather}, products_{products}, stop_{std::move(stop)} {}

    void attach_to(httplib::Server& http) {
        http.new_task_queue = [] { return new httplib::ThreadPool{64}; };  // a connection kept alive holds a thread
        http.set_keep_alive_max_count(1'000'000);
        http.set_keep_alive_timeout(1);
        http.set_tcp_nodelay(true);
        http.Get("/_stats", [this](const auto&, auto& response) { answer_json(response, stats()); });
        http.Get("/inventory", [this](const auto& request, auto& response) {
            serve(request, response, [&] { inventory(request, response); });
        });
        http.Get("/inventory/summary", [this](const auto& request, auto& response) {
            serve(request, response, [&] {
                response.set_header("Cache-Control", "max-age=8");
                answer_json(response, products_.summary());
            });
        });
    }

    nlohmann::json stats() {
        nlohmann::json stats = weather_.counts();
        stats["unauthorized"] = unauthorized_.load();
        return stats;
    }

private:
    void inventory(const httplib::Request& request, httplib::Response& response) {
        const std::size_t page = number(request, "page");
        const std::size_t per_page = number(request, "per_page");
        if (page == 0 || per_page == 0 || per_page > 500) {
            return answer_error(response, 422, "page counts from 1; per_page is 1 to 500");
        }
        response.set_header("Cache-Control", "no-store");
        answer_json(response, products_.page(page, per_page));
        weather_.page_served();
    }

    template <class Answer>
    void serve(const httplib::Request& request, httplib::Response& response, Answer answer) {
        if (!request.get_header_value("Authorization").starts_with("Bearer ")) {
            ++unauthorized_;
            response.set_header("WWW-Authenticate", "Bearer");
            return answer_error(response, 401, "who are you?");
        }
        switch (weather_.next()) {
            case Fate::answered: return answer();
            case Fate::error_500: return answer_error(response, 500, "something broke");
            case Fate::unavailable_503: return answer_error(response, 503, "down for maintenance");
            case Fate::throttled_429:
                response.set_header("Retry-After", "2");
                return answer_error(response, 429, "slow down");
            case Fate::too_slow: pause_for(2s, stop_); return answer_json(response, {{"late", true}});
            case Fate::reset: return reset(request, response);
        }
    }

    /// In turn before the answer and in the middle of it.
    void reset(const httplib::Request& request, httplib::Response& response) {
        if (resets_++ % 2 == 0) return reset_connection(request.remote_port);
        const auto half = [port = request.remote_port](std::size_t, std::size_t length, httplib::DataSink& sink) {
            const std::string text(length / 2, ' ');
            sink.write(text.data(), text.size());
            std::this_thread::sleep_for(20ms);  // lets the first half arrive: an RST may overtake it
            reset_connection(port);
            return false;
        };
        response.set_content_provider(2'000, "application/json", half);
    }

    Weather& weather_;
    const Products& products_;
    const std::stop_token stop_;
    std::atomic<std::size_t> resets_{0};
    std::atomic<std::size_t> unauthorized_{0};
};

/// Listens until a stop is requested, except while the weather refuses connections.
void listen(httplib::Server& http, Weather& weather, int port, const std::string& port_file,
            const std::stop_token& stop) {
    http.set_socket_options([](auto socket) {
        const int yes = 1;
        ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
        ::setsockopt(socket, SOL_SOCKET, SO_REUSEPORT, &yes, sizeof yes);
    });
    bool announced = port_file.empty();
    do {
        if (!http.bind_to_port("127.0.0.1", port)) throw std::runtime_error{"cannot listen"};
        std::thread listener{[&] { http.listen_after_bind(); }};
        while (!http.is_running()) std::this_thread::sleep_for(1ms);
        if (!announced) {  // renamed into place, so that who waits for the file finds it complete
            std::ofstream{port_file + ".part"} << port << '\n';
            std::filesystem::rename(port_file + ".part", port_file);
            announced = true;
        }
        weather.wait_for_refusal(true, stop);
        http.stop();
        listener.join();
    } while (weather.wait_for_refusal(false, stop) && !stop.stop_requested());
}

void print(const nlohmann::json& stats) {
    std::ostringstream text;
    text << "\nwhat the server saw\n";
    for (const auto& phase : stats["phases"]) {
        text << "  " << std::left << std::setw(12) << phase["name"].get<std::string>() << std::right;
        const char* separator = "";
        if (phase["requests"].empty()) text << "no request";
        for (const auto& [fate, n] : phase["requests"].items()) {
            text << separator << n.get<std::size_t>() << " x " << fate;
            separator = ", ";
        }
        text << '\n';
    }
    std::cout << text.str() << std::flush;
}

/// One line in one write, so that it does not mix with what the client prints on the same terminal.
void announce(Clock::duration since_first_request, const Phase& phase) {
    std::ostringstream line;
    if (::isatty(STDOUT_FILENO)) line << "\r\x1b[K";  // over the client's progress line
    line << std::fixed << std::setprecision(1) << std::setw(6)
         << std::chrono::duration<double>(since_first_request).count() << " s  weather  " << phase.name << ": "
         << phase.text << '\n';
    std::cout << line.str() << std::flush;
}

int value_of(const std::string& option, const std::string& text) {
    int value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size() || value < 0) {
        throw std::invalid_argument{option + ": not a number: " + text};
    }
    return value;
}

}  // namespace

int main(int argc, char** argv) try {
    std::map<std::string, std::string> options{{"--port", "0"},    {"--port-file", ""}, {"--weather", "show"},
                                               {"--broken", "12"}, {"--lifetime", ""},  {"--catalogue", ""}};
    for (int i = 1; i < argc; i += 2) {
        const auto option = options.find(argv[i]);
        if (option == options.end() || i + 1 == argc) throw std::invalid_argument{std::string{"what is "} + argv[i]};
        option->second = argv[i + 1];
    }
    if (const std::string& file = options["--catalogue"]; !file.empty()) {
        std::ofstream out{file};
        Products::write_known(out);
        return out.flush() ? 0 : 1;
    }

    const std::optional<int> lifetime =
        options["--lifetime"].empty() ? std::nullopt : std::optional{value_of("--lifetime", options["--lifetime"])};

    sigset_t signals;  // blocked here and so in every thread: this one waits for them
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGUSR1);
    struct sigaction inherited{};
    sigaction(SIGINT, nullptr, &inherited);
    if (inherited.sa_handler != SIG_IGN) sigaddset(&signals, SIGINT);  // a shell's background job ignores it
    pthread_sigmask(SIG_BLOCK, &signals, nullptr);

    std::stop_source stop;
    Weather weather{script(options["--weather"]), announce};
    const Products products{static_cast<std::size_t>(value_of("--broken", options["--broken"]))};
    Supplier supplier{weather, products, stop.get_token()};
    const ReservedPort port{value_of("--port", options["--port"])};
    httplib::Server http;
    supplier.attach_to(http);
    std::exception_ptr failure;
    std::thread serving{[&] {
        try {
            listen(http, weather, port.number(), options["--port-file"], stop.get_token());
        } catch (...) {
            failure = std::current_exception();
            ::kill(::getpid(), SIGTERM);
        }
    }};
    if (options["--port-file"].empty()) std::cout << "listening on http://127.0.0.1:" << port.number() << std::endl;

    const timespec most{.tv_sec = lifetime.value_or(0), .tv_nsec = 0};
    const auto next_signal = [&] {
        return lifetime ? sigtimedwait(&signals, nullptr, &most) : sigwaitinfo(&signals, nullptr);
    };
    while (next_signal() == SIGUSR1) weather.go_on();
    stop.request_stop();
    serving.join();
    if (failure) std::rethrow_exception(failure);
    print(supplier.stats());
    return 0;
} catch (const std::exception& error) {
    std::cerr << "flaky_supplier: " << error.what() << '\n';
    return 2;
}
