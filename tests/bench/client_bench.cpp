// The whole client, and its transport alone, against a hand-written loop on one reused libcurl easy handle: GET of 200
// bytes, keep-alive, loopback; all three send the same request. They take turns in one run, and the medians of their
// turns are compared. The CPU time is this process's alone: the server is another.
#include "contender.hpp"
#include "figure.hpp"
#include "hand_written_loops.hpp"
#include "loopback_server.hpp"

#include <breakwater/resilient_client.hpp>

#include <curl/curl.h>

#include <array>
#include <cstddef>
#include <cstdio>
#include <memory>
#include <string>

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::bench::check;
using bw::bench::Contender;
using bw::bench::Cost;
using bw::bench::print_figure;

namespace {

constexpr std::size_t body_bytes = 200;
constexpr const char* user_agent = "breakwater/bench";

/// What a user would write without breakwater.
class ByHand {
public:
    explicit ByHand(const std::string& url) {
        headers_.reset(curl_slist_append(headers_.release(), (std::string{"User-Agent: "} + user_agent).c_str()));
        headers_.reset(
            curl_slist_append(headers_.release(), ("Accept-Encoding: " + bw::curl::accepted_encodings()).c_str()));
        curl_easy_setopt(easy_.get(), CURLOPT_URL, url.c_str());
        curl_easy_setopt(easy_.get(), CURLOPT_HTTPHEADER, headers_.get());
        curl_easy_setopt(easy_.get(), CURLOPT_NOSIGNAL, 1L);
        curl_easy_setopt(easy_.get(), CURLOPT_TIMEOUT_MS, 10'000L);
        curl_easy_setopt(easy_.get(), CURLOPT_WRITEFUNCTION, &append);
        curl_easy_setopt(easy_.get(), CURLOPT_WRITEDATA, &body_);
    }
    ByHand(const ByHand&) = delete;
    ByHand& operator=(const ByHand&) = delete;

    void get() {
        body_.clear();
        check(curl_easy_perform(easy_.get()) == CURLE_OK && body_.size() == body_bytes);
    }

private:
    static std::size_t append(char* data, std::size_t size, std::size_t count, void* body) {
        static_cast<std::string*>(body)->append(data, size * count);
        return size * count;
    }

    std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)> headers_{nullptr, &curl_slist_free_all};
    std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> easy_{curl_easy_init(), &curl_easy_cleanup};
    std::string body_;
};

/// So many times in a row.
template <class F>
auto repeated(F get) {
    return [get](std::size_t times) {
        for (std::size_t i = 0; i < times; ++i) get();
    };
}

}  // namespace

int main() {
    const bw::bench::LoopbackServer server{body_bytes};
    const std::string url = server.url("/users/42");
    curl_global_init(CURL_GLOBAL_DEFAULT);

    ByHand by_hand{url};
    const bw::CurlTransport transport;
    const bw::Request request{.url = url, .headers = {{"User-Agent", user_agent}}};
    const bw::ResilientClient client{bw::ClientOptions{
        .name = "bench",
        .base_url = server.url(""),
        .headers = {{"User-Agent", user_agent}},
        .rate_limit = {.algorithm = bw::TokenBucket{.permits = 1'000'000, .period = 1s, .burst = 1'000'000}},
    }};
    const auto complete = [](const bw::Result<bw::Response>& response) {
        return response && response->body.size() == body_bytes;
    };

    std::array contenders{
        Contender{"libcurl easy handle by hand", repeated([&] { by_hand.get(); })},
        Contender{"CurlTransport", repeated([&] { check(complete(transport.send(request))); })},
        Contender{"ResilientClient", repeated([&] { check(complete(client.get("/users/42"))); })},
    };
    take_turns(contenders, 1'500, 20);

    std::printf("%-30s %8s %8s\n", "GET", "wall us", "CPU us");
    for (Contender& contender : contenders) {
        std::printf("%-30s %8.2f %8.2f\n", contender.name, contender.median(&Cost::wall), contender.median(&Cost::cpu));
    }
    auto& [hand, bare, whole] = contenders;
    const auto ratio = [&](Contender& contender, double Cost::* what) {
        return contender.median(what) / hand.median(what);
    };
    print_figure("transport's GET to a hand-written libcurl loop's, wall", "", ratio(bare, &Cost::wall));
    print_figure("transport's GET to a hand-written libcurl loop's, CPU", "", ratio(bare, &Cost::cpu));
    print_figure("client's GET to a hand-written libcurl loop's, wall", "<= 1.04", ratio(whole, &Cost::wall));
    print_figure("client's GET to a hand-written libcurl loop's, CPU", "<= 1.04", ratio(whole, &Cost::cpu));
}
