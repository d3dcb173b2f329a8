// A page that shows what three clients do while their services have troubles: open http://127.0.0.1:8080
//
//   dashboard [--port N] [--host ADDRESS] [--store redis://…] [--calm] [--port-file FILE] [--lifetime SECONDS] --page
//   FOLDER
//
// --port 0: any free one. --host: where others are to see it, too; its buttons work from this machine alone. --store:
// the clients share what they know with those of other dashboards that are given the same Redis. --calm: no troubles
// but those that one makes by the page's buttons.
//
// Exit status: 0; 1 if it cannot run; 2 if the command line is wrong.
#include <breakwater/store/memory.hpp>
#include <breakwater/store/redis.hpp>

#include <charconv>
#include <chrono>
#include <csignal>
#include <ctime>
#include <exception>
#include <fstream>
#include <iostream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "show.hpp"
#include "web.hpp"

namespace {

using namespace dashboard;

struct CommandLine {
    std::string host = "127.0.0.1", store, page, port_file;
    int port = 8'080;
    int lifetime = 0;
    bool is_calm = false;
};

int number(std::string_view name, const std::string& text, int most) {
    int value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size() || value < 0 || value > most)
        throw std::invalid_argument{std::string{name} + ": 0 to " + std::to_string(most) + ", got \"" + text + "\""};
    return value;
}

CommandLine parse(int argc, char** argv) {
    CommandLine line;
    for (int i = 1; i < argc; ++i) {
        const std::string_view name = argv[i];
        const auto value = [&]() -> std::string {
            if (++i == argc) throw std::invalid_argument{std::string{name} + ": a value is missing"};
            return argv[i];
        };
        if (name == "--calm")
            line.is_calm = true;
        else if (name == "--host")
            line.host = value();
        else if (name == "--store")
            line.store = value();
        else if (name == "--page")
            line.page = value();
        else if (name == "--port-file")
            line.port_file = value();
        else if (name == "--port")
            line.port = number(name, value(), 65'535);
        else if (name == "--lifetime")
            line.lifetime = number(name, value(), 86'400);
        else
            throw std::invalid_argument{"unknown option " + std::string{name}};
    }
    if (line.page.empty()) throw std::invalid_argument{"--page FOLDER is missing"};
    return line;
}

template <bw::Store Store>
void serve(const CommandLine& line, Store store) {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals, nullptr);

    Show<Store> show{std::move(store)};
    const Web web{line.host,
                  line.port,
                  line.page,
                  {.state = [&] { return show.json(); },
                   .metrics = [&] { return show.metrics(); },
                   .press = [&](const auto&... words) { return show.press(words...); }}};
    std::cout << "http://" << line.host << ':' << web.port() << "   (Ctrl-C ends it)" << std::endl;
    if (!line.port_file.empty()) std::ofstream{line.port_file} << web.port() << '\n';
    std::jthread troubles;
    if (!line.is_calm) troubles = std::jthread{[&](const std::stop_token& stop) { show.play(stop); }};

    const timespec lifetime{.tv_sec = line.lifetime == 0 ? 86'400 * 365 : line.lifetime, .tv_nsec = 0};
    (void)sigtimedwait(&signals, nullptr, &lifetime);
}

}  // namespace

int main(int argc, char** argv) try {
    const CommandLine line = parse(argc, argv);
    if (line.store.empty())
        serve(line, bw::MemoryStore<>{});
    else
        serve(line, bw::RedisStore{{.url = line.store, .prefix = "dashboard:"}});
    return 0;
} catch (const std::invalid_argument& error) {
    std::cerr << "dashboard: " << error.what() << '\n';
    return 2;
} catch (const std::exception& error) {
    std::cerr << "dashboard: " << error.what() << '\n';
    return 1;
}
