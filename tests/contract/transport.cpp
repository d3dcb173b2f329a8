#include "transport_contract.hpp"

#include "../integration/raw_server.hpp"

#include <breakwater/testing/fault_injection/transport.hpp>
#include <breakwater/testing/scripted_transport.hpp>
#include <breakwater/transport/curl.hpp>

#include <async_calls.hpp>
#include <catch_shim.hpp>

#include <chrono>
#include <cstddef>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bw = breakwater;
using namespace std::chrono_literals;

namespace {

/// The archetype of transport.hpp's comment.
struct Teapot {
    bw::Result<bw::Response> send(const bw::Request& request, const bw::SendOptions& options) const {
        if (auto valid = bw::validate(request); !valid) return bw::fail(valid.error());
        if (options.stop.stop_requested()) return bw::fail(bw::Error{bw::Errc::cancelled}.set_sent(bw::Sent::no));
        bw::Response answer;
        answer.status = 418;
        answer.url = request.url;
        return answer;
    }
};
static_assert(bw::Transport<Teapot>);

struct SendsIntoTheVoid {
    void send(const bw::Request&, const bw::SendOptions&) const {}
};
static_assert(!bw::Transport<SendsIntoTheVoid>);
struct OnlyMutable {
    bw::Result<bw::Response> send(const bw::Request&, const bw::SendOptions&);
};
static_assert(!bw::Transport<OnlyMutable>);
static_assert(!bw::Transport<std::unique_ptr<Teapot>>);

bw::Request parse(const std::string& text) {
    const auto head_end = text.find("\r\n\r\n");
    const auto line_end = text.find("\r\n");
    const auto method_end = text.find(' ');
    bw::Request request{.method = bw::Method{text.substr(0, method_end)},
                        .url = text.substr(method_end + 1, text.find(' ', method_end + 1) - method_end - 1)};
    for (std::size_t at = line_end + 2; at < head_end;) {
        const auto end = text.find("\r\n", at);
        const std::string_view line = std::string_view{text}.substr(at, end - at);
        const auto colon = line.find(':');
        request.headers.add(std::string{line.substr(0, colon)}, std::string{bw::detail::trim(line.substr(colon + 1))});
        at = end + 2;
    }
    if (request.headers.contains("Content-Length")) request.body = text.substr(head_end + 4);
    return request;
}

/// The asynchronous face of a transport as one.
template <bw::AsyncTransport T>
struct AsyncFace {
    bw::Result<bw::Response> send(const bw::Request& request, const bw::SendOptions& options) const {
        return test::send_async(transport, request, options);
    }
    T transport{};
};

/// With faults that each exchange meets and none shows.
struct FaultyCurl : bw::FaultyTransport<bw::CurlTransport> {
    FaultyCurl()
        : bw::FaultyTransport<bw::CurlTransport>{
              bw::CurlTransport{}, {.faults = {{.delay = 1us}, {.rate = 0, .then = bw::faults::Drop{}}}}} {}
};

template <bw::Transport T>
class CurlWorld {
public:
    CurlWorld()
        : server_{bw::test::RawServer::http([this](bw::test::Connection& connection, const std::string& request) {
              const std::lock_guard lock{mutex_};
              const bool wants_body = !request.starts_with("HEAD");
              const auto end = answer_.find("\r\n\r\n") + 4;
              return connection.send(wants_body ? answer_ : answer_.substr(0, end));
          })} {}

    T transport() const { return transport_; }
    std::string url(std::string_view target) const { return server_->url(target); }
    void answer_with(const bw::Response& response) {
        std::string fields;
        for (const auto& [name, value] : response.headers)
            fields.append(name).append(": ").append(value).append("\r\n");
        const std::lock_guard lock{mutex_};
        answer_ = bw::test::answer(response.status, response.body, fields);
    }
    std::vector<bw::Request> seen() const {
        std::vector<bw::Request> requests;
        for (const std::string& text : server_->requests()) requests.push_back(parse(text));
        return requests;
    }

private:
    std::mutex mutex_;
    std::string answer_;
    T transport_{};
    std::unique_ptr<bw::test::RawServer> server_;
};

class ScriptedWorld {
public:
    bw::ScriptedTransport transport() const { return transport_; }
    std::string url(std::string_view target) const { return "http://service.test" + std::string{target}; }
    void answer_with(const bw::Response& response) { *answer_ = response; }
    std::vector<bw::Request> seen() const { return transport_.requests(); }

private:
    std::shared_ptr<bw::Response> answer_ = std::make_shared<bw::Response>();
    bw::ScriptedTransport transport_ = bw::ScriptedTransport::always(
        [answer = answer_](const bw::Request&) -> bw::Result<bw::Response> { return *answer; });
};

}  // namespace

TEST_CASE("CurlTransport keeps the transport contract") {
    bw::test::check_transport_contract([] { return std::make_unique<CurlWorld<bw::CurlTransport>>(); });
}

TEST_CASE("the asynchronous face of CurlTransport keeps it, too") {
    bw::test::check_transport_contract([] { return std::make_unique<CurlWorld<AsyncFace<bw::CurlTransport>>>(); });
}

TEST_CASE("FaultyTransport keeps the transport contract of the one inside") {
    bw::test::check_transport_contract([] { return std::make_unique<CurlWorld<FaultyCurl>>(); });
}

TEST_CASE("the asynchronous face of FaultyTransport keeps it, too") {
    bw::test::check_transport_contract([] { return std::make_unique<CurlWorld<AsyncFace<FaultyCurl>>>(); });
}

TEST_CASE("ScriptedTransport keeps the transport contract") {
    bw::test::check_transport_contract([] { return std::make_unique<ScriptedWorld>(); });
}
