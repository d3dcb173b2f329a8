// The example dashboard as a program: what it tells, whom it obeys, and (deep) its page in a browser.
#include <breakwater/resilient_client.hpp>

#include <catch_shim.hpp>
#include <program.hpp>
#include <redis_server.hpp>
#include <soon.hpp>
#include <temporary_directory.hpp>

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <regex>
#include <string>
#include <string_view>
#include <vector>

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::test::Program;
using Catch::Matchers::ContainsSubstring;
using nlohmann::json;
using test::soon;

namespace {

bw::ResilientClient<> client_of(std::string url) {
    return bw::ResilientClient{bw::ClientOptions{.name = "test",
                                                 .base_url = std::move(url),
                                                 .timeouts = {.attempt = 20s, .deadline = 30s},
                                                 .circuit_breaker = {.trip = bw::never},
                                                 .retry = {.max_retries = 0}}};
}

/// The example, and what it tells.
class Dashboard {
public:
    explicit Dashboard(const std::vector<std::string>& options) : program_{words(options), folder_ / "output"} {}

    const std::string& url() const noexcept { return url_; }
    json state() const { return json::parse(client_.get("/state").value().body); }
    json card(std::string_view name) const {
        const json now = state();
        for (const json& card : now["cards"])
            if (card["name"] == name) return card;
        return {};
    }
    std::string circuit(std::string_view name) const { return card(name)["client"]["circuit"]["state"]; }
    /// The status of what a button's click sends.
    int press(const std::string& target, const bw::Headers& headers) const {
        const auto answer = client_.post(target, {.headers = headers, .body = std::string{}});
        return answer ? answer->status : answer.error().status().value_or(0);
    }
    std::string token() const {
        const std::string page = client_.get("/").value().body;
        std::smatch found;
        REQUIRE(std::regex_search(page, found, std::regex{"name=\"dashboard-token\" content=\"([0-9a-f]{32})\""}));
        return found[1];
    }
    bw::Result<bw::Response> get(const std::string& target, const bw::RequestOptions& options = {}) const {
        return client_.get(target, options);
    }
    std::optional<int> end() {
        program_.signal(SIGTERM);
        return program_.wait(20s);
    }

private:
    std::vector<std::string> words(const std::vector<std::string>& options) const {
        const char* elsewhere = std::getenv("BREAKWATER_EXAMPLES_BIN");
        const std::string bin = elsewhere != nullptr ? elsewhere : BREAKWATER_EXAMPLES_BIN;
        std::vector<std::string> all{bin + "/dashboard",
                                     "--port",
                                     "0",
                                     "--port-file",
                                     folder_ / "port",
                                     "--page",
                                     std::string{BREAKWATER_EXAMPLES_SOURCE} + "/dashboard/page"};
        all.insert(all.end(), options.begin(), options.end());
        return all;
    }
    std::string address() const {
        REQUIRE(soon([&] { return folder_.read("port").ends_with('\n'); }));
        return "http://127.0.0.1:" + std::to_string(std::stoi(folder_.read("port")));
    }

    bw::test::TemporaryDirectory folder_;
    Program program_;
    const std::string url_ = address();
    const bw::ResilientClient<> client_ = client_of(url_);
};

/// A page in a headless Chromium, by chromedriver (W3C WebDriver).
class Browser {
public:
    explicit Browser(const std::string& size)
        : driver_{{"chromedriver", "--port=0"}, folder_ / "driver"}, client_{client_of(address())} {
        const json arguments{"--headless=new",
                             "--no-sandbox",
                             "--disable-gpu",
                             "--disable-quic",
                             "--no-first-run",
                             "--disable-background-networking",
                             "--disable-component-update",
                             "--disable-sync",
                             "--force-dark-mode",
                             "--user-data-dir=" + (folder_ / "profile").string(),
                             "--window-size=" + size};
        const json wanted{{"capabilities", {{"alwaysMatch", {{"goog:chromeOptions", {{"args", arguments}}}}}}}};
        session_ = "/session/" + post("/session", wanted)["sessionId"].get<std::string>();
    }
    Browser(const Browser&) = delete;
    Browser& operator=(const Browser&) = delete;
    ~Browser() { (void)client_.del(session_); }

    void open(const std::string& url) { (void)post(session_ + "/url", {{"url", url}}); }
    json run(const std::string& script) {
        return post(session_ + "/execute/sync", {{"script", script}, {"args", json::array()}});
    }
    void be_phone() {
        const json screen{{"width", 360}, {"height", 740}, {"deviceScaleFactor", 2}, {"mobile", true}};
        (void)post(session_ + "/goog/cdp/execute", {{"cmd", "Emulation.setDeviceMetricsOverride"}, {"params", screen}});
    }
    /// What is written in the first element that a CSS selector finds.
    std::string text(const std::string& selector) {
        const json found = run("return document.querySelector('" + selector + "')?.innerText ?? ''");
        return found.get<std::string>();
    }
    void click(const std::string& selector) {
        const json found = post(session_ + "/element", {{"using", "css selector"}, {"value", selector}});
        (void)post(session_ + "/element/" + found.begin()->get<std::string>() + "/click", json::object());
    }

private:
    std::string address() const {
        std::smatch found;
        std::string said;
        REQUIRE(soon([&] {
            said = folder_.read("driver");
            return std::regex_search(said, found, std::regex{"started successfully on port ([0-9]+)"});
        }));
        return "http://127.0.0.1:" + found[1].str();
    }
    json post(const std::string& target, const json& body) const {
        const auto answer = client_.post(target, {.json = body});
        INFO((answer ? answer->body : answer.error().message()));
        REQUIRE(answer);
        return answer->json()["value"];
    }

    bw::test::TemporaryDirectory folder_;
    Program driver_;
    bw::ResilientClient<> client_;
    std::string session_;
};

}  // namespace

TEST_CASE("the dashboard's buttons obey its own page on this machine, and nobody else") {
    Dashboard dashboard{{"--calm"}};
    const std::string token = dashboard.token();
    CHECK(dashboard.press("/circuit/orders/open", {}) == 403);
    CHECK(dashboard.press("/circuit/orders/open", {{"X-Dashboard-Token", std::string(32, '0')}}) == 403);
    CHECK(dashboard.circuit("orders") == "closed");
    CHECK(dashboard.press("/circuit/orders/open", {{"X-Dashboard-Token", token}}) == 200);
    CHECK(dashboard.circuit("orders") == "open");
    CHECK(dashboard.card("orders")["client"]["circuit"]["forced"] == true);
    CHECK(dashboard.card("orders")["events"][0]["text"] == "circuit orders: forced open");
    CHECK_THAT(dashboard.get("/metrics").value().body, ContainsSubstring("breakwater_circuit_state{client=\"orders\""));
    CHECK(dashboard.press("/circuit/orders/reset", {{"X-Dashboard-Token", token}}) == 200);
    CHECK(dashboard.circuit("orders") == "closed");
    CHECK(dashboard.press("/circuit/none/open", {{"X-Dashboard-Token", token}}) == 404);
    CHECK(dashboard.press("/weather/orders/sunny", {{"X-Dashboard-Token", token}}) == 404);

    // Somebody's domain that is made to point to this machine is another site, too.
    const auto rebound = dashboard.get("/", {.headers = {{"Host", "dashboard.example"}}});
    CHECK(rebound.error().status() == 403);
    CHECK(dashboard.get("/").value().headers.get("Content-Security-Policy").value_or("").starts_with("default-src"));
    CHECK(dashboard.end() == 0);
}

TEST_CASE("dashboards that share a store show the same circuits, and say when the store is gone") {
    bw::test::RedisServer redis;
    const std::vector<std::string> options{"--calm", "--store", "unix://" + redis.socket()};
    const Dashboard one{options};
    const Dashboard other{options};
    CHECK(soon([&] { return one.state()["store"]["processes"] == 2; }));
    CHECK(one.press("/circuit/payments/open", {{"X-Dashboard-Token", one.token()}}) == 200);
    CHECK(soon([&] { return other.circuit("payments") == "open"; }));
    CHECK(other.press("/circuit/payments/reset", {{"X-Dashboard-Token", other.token()}}) == 200);
    CHECK(soon([&] { return one.circuit("payments") == "closed"; }));
    redis.kill();
    CHECK(soon([&] { return one.state()["store"]["is_up"] == false; }));
    redis.restart();
    CHECK(soon([&] { return one.state()["store"]["is_up"] == true; }));
}

TEST_CASE("a wrong command line is told") {
    bw::test::TemporaryDirectory folder;
    const auto run = [&](std::vector<std::string> words) {
        words.insert(words.begin(), std::string{BREAKWATER_EXAMPLES_BIN} + "/dashboard");
        Program program{words, folder / "output"};
        CHECK(program.wait(20s) == 2);
        return folder.read("output");
    };
    CHECK(run({"--port", "http"}) == "dashboard: --port: 0 to 65535, got \"http\"\n");
    CHECK(run({"--port"}) == "dashboard: --port: a value is missing\n");
    CHECK(run({"--colour", "blue"}) == "dashboard: unknown option --colour\n");
    CHECK(run({}) == "dashboard: --page FOLDER is missing\n");
}

TEST_CASE("in a browser one sees a circuit open in an outage, and closes it by hand", "[.deep]") {
    const Dashboard dashboard{{}};  // its own outages: the first begins after 6 s
    Browser browser{"1280,1000"};
    browser.open(dashboard.url());
    const auto word = [&] { return browser.text("#card-inventory .word"); };
    CHECK(soon([&] { return word() == "closed"; }));
    REQUIRE(soon([&] { return word() == "open"; }));
    CHECK(browser.text("#card-inventory .why").starts_with("next probe in "));
    CHECK(soon([&] {
        return browser.text("#card-inventory .events").find("circuit inventory: open for") != std::string::npos;
    }));
    browser.click("#card-inventory [data-word=close]");
    CHECK(soon([&] { return word() == "closed (forced)"; }));
    browser.click("#card-orders [data-word=open]");
    CHECK(soon([&] { return browser.text("#card-orders .word") == "open (forced)"; }));
    browser.click("#card-orders [data-word=reset]");
    CHECK(soon([&] { return browser.text("#card-orders .word") == "closed"; }));
    browser.click("#card-payments [data-word=down]");
    CHECK(soon([&] { return browser.text("#card-payments .word") == "open"; }));

    CHECK(browser.run("return Chart.getChart(document.querySelector('#card-orders canvas')).data.datasets[0].data"
                      ".some(n => n > 0)") == true);
    CHECK(
        browser.run("return performance.getEntriesByType('resource').every(e => e.name.startsWith(location.origin))") ==
        true);  // nothing is loaded from elsewhere
}

TEST_CASE("the dashboard can be read on a phone, and in the dark", "[.deep]") {
    const Dashboard dashboard{{"--calm"}};
    Browser browser{"500,900"};
    browser.open(dashboard.url());
    CHECK(soon([&] { return browser.text("#card-payments .word") == "closed"; }));
    browser.be_phone();
    CHECK(soon([&] { return browser.run("return innerWidth") == 360; }));
    CHECK(browser.run("return document.documentElement.scrollWidth") == 360);
    CHECK(browser.run("return [...document.querySelectorAll('button')].every(b => b.offsetHeight >= 32)") == true);
    CHECK(browser.run("return matchMedia('(prefers-color-scheme: dark)').matches && "
                      "getComputedStyle(document.body).backgroundColor == 'rgb(15, 19, 23)'") == true);
    // What the colours say is said in words and signs, too.
    CHECK_THAT(browser.text("#card-payments .state"), ContainsSubstring("closed"));
    CHECK(browser.text("#card-payments .sign") == "●");
}
