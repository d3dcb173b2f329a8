// A file that takes five connections to arrive, since each breaks off: fetched once all the same, byte by byte, and
// held to the SHA-256 that the service names. Then a process that gives up, and another one that goes on.
#include <breakwater/digest.hpp>
#include <breakwater/resilient_client.hpp>

#include <httplib.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <iterator>
#include <string>
#include <string_view>
#include <thread>

#include <unistd.h>

namespace bw = breakwater;
using namespace std::chrono_literals;

/// Has one file, `/export.csv`, and never sends more than 2 MiB of it at a time.
class Service {
public:
    Service() {
        for (int row = 0; file_.size() < std::size_t{8} << 20; ++row)
            file_ += std::to_string(row) + ",VAN-" + std::to_string(row % 997) + ",in stock\n";
        bw::Hash hash{bw::DigestAlgorithm::sha_256};
        hash.take(file_);
        const std::string digest = "sha-256=:" + hash.end(bw::DigestText::base64) + ":";

        server_.Get("/export.csv", [this, digest](const httplib::Request& request, httplib::Response& answer) {
            const std::string range = request.get_header_value("Range");
            std::cout << "\n  asked for " << (range.empty() ? "the whole" : range) << '\n';
            answer.set_header("ETag", "\"export-7\"");
            answer.set_header("Repr-Digest", digest);
            const auto some = [this, left = std::size_t{2} << 20](std::size_t at, std::size_t length,
                                                                  httplib::DataSink& sink) mutable {
                const std::size_t count = std::min({length, left, std::size_t{64} << 10});
                left -= count;
                sent_ += count;
                return count > 0 && sink.write(file_.data() + at, count);  // false breaks the connection off
            };
            answer.set_content_provider(file_.size(), "text/csv", some);
        });
        port_ = server_.bind_to_any_port("127.0.0.1");
        thread_ = std::jthread{[this] { server_.listen_after_bind(); }};
        while (!server_.is_running()) std::this_thread::yield();
    }
    ~Service() { server_.stop(); }
    Service(const Service&) = delete;
    Service& operator=(const Service&) = delete;

    std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }
    std::size_t size() const { return file_.size(); }
    std::size_t sent() const { return sent_; }

private:
    std::string file_;
    std::atomic<std::size_t> sent_{0};
    httplib::Server server_;
    int port_ = 0;
    std::jthread thread_;
};

void show(const bw::DownloadProgress& progress) {
    const std::size_t tenths = progress.total ? progress.bytes * 10 / *progress.total : 0;
    std::cout << "\r  [" << std::string(tenths, '#') << std::string(10 - tenths, ' ') << "] " << (progress.bytes >> 10)
              << " KiB" << std::flush;
}

int say(const char* what, bool is_so) {
    std::cout << (is_so ? "  yes: " : "  NO:  ") << what << '\n';
    return is_so ? 0 : 1;
}

/// A client of a process of its own, which makes so many attempts.
bw::ResilientClient<> client_of(const Service& service, unsigned retries) {
    return bw::ResilientClient{bw::ClientOptions{
        .name = "exports", .base_url = service.url(), .retry = {.max_retries = retries, .backoff = {.base = 50ms}}}};
}

int main() {
    const Service service;
    const auto folder = std::filesystem::temp_directory_path() / ("breakwater-" + std::to_string(::getpid()));
    std::filesystem::create_directory(folder);
    const auto file = folder / "export.csv";
    int wrong = 0;

    std::cout << "One call, each connection good for 2 MiB of " << (service.size() >> 10) << " KiB";
    const auto saved =
        client_of(service, 5).download("/export.csv", file, {.verify = bw::server_digest(), .progress = show});
    if (!saved) std::cout << "\n  " << saved.error() << '\n';
    std::cout << '\n';
    wrong += say("it is there and verified", saved && std::filesystem::file_size(file) == service.size());
    wrong += say("no byte was sent twice", service.sent() == service.size());

    std::cout << "\nA call that gives up after two attempts";
    std::filesystem::remove(file);
    const bw::DownloadOptions kept{.resume = bw::Resume::across_calls, .verify = bw::server_digest(), .progress = show};
    const auto failed = client_of(service, 1).download("/export.csv", file, kept);
    std::cout << "\n  " << (failed ? "it has not failed" : failed.error().message()) << '\n';
    wrong += say("it leaves no export.csv", !std::filesystem::exists(file));
    wrong += say("but a part of it", std::filesystem::exists(folder / "export.csv.part"));

    std::cout << "\nThe next one, of another client";
    const auto resumed = client_of(service, 5).download("/export.csv", file, kept);
    std::cout << '\n';
    wrong += say("goes on where the first one stood", resumed && service.sent() == 2 * service.size());
    wrong += say("and leaves nothing but the file", std::distance(std::filesystem::directory_iterator{folder},
                                                                  std::filesystem::directory_iterator{}) == 1);
    std::filesystem::remove_all(folder);
    return wrong == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
