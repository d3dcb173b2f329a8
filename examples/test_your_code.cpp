// How to test code that calls a service: the service is a script, time is moved by hand, and no test sleeps.
#include <breakwater/resilient_client.hpp>
#include <breakwater/testing/manual_clock.hpp>
#include <breakwater/testing/scripted_transport.hpp>

#include <chrono>
#include <cstdlib>
#include <iostream>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bw = breakwater;
using namespace std::chrono_literals;

// --- Your code: it takes its client as a template argument ---

template <class Client = bw::ResilientClient<>>
class PriceList {
public:
    explicit PriceList(Client client) : client_{std::move(client)} {}

    /// The price in cents; the last one known if the supplier does not answer.
    std::optional<int> price(const std::string& sku) {
        const auto answer = client_.get("/prices/{sku}", {.path = {{"sku", sku}}});
        if (answer) last_ = answer->json()["cents"].template get<int>();
        return last_;
    }
    bool order(const std::string& sku) { return client_.post("/orders", {.json = {{"sku", sku}}}).has_value(); }

private:
    Client client_;
    std::optional<int> last_;
};

bw::ClientOptions supplier_options() {
    return {.base_url = "https://supplier.test", .auth = bw::Bearer{"key"}, .timeouts = {.attempt = 2s}};
}

// --- Your tests: any framework will do; this is the smallest ---

int failures = 0;
void check(bool holds, std::string_view what) {
    std::cout << (holds ? "  ok      " : "  FAILED  ") << what << '\n';
    failures += !holds;
}

/// Your code with a service that answers by script, and a clock that only the test moves.
struct Shop {
    Shop(std::initializer_list<bw::ScriptedAnswer> answers) : supplier{answers} {
        supplier.on_elapse([clock = clock](bw::Duration took) { clock.advance(took); });
    }

    bw::ManualClock clock;  // a wait moves it to its end and is noted
    bw::ScriptedTransport supplier;
    PriceList<bw::ResilientClient<bw::ScriptedTransport, bw::MemoryStore<bw::ManualClock>>> prices{
        bw::ResilientClient{supplier_options(), supplier, bw::MemoryStore{clock}}};
};

bw::Response price_of(int cents) { return {.status = 200, .body = "{\"cents\": " + std::to_string(cents) + "}"}; }
const bw::Response busy{.status = 503};

void asks_for_the_price_of_one_item() {
    Shop shop{price_of(1990)};
    check(shop.prices.price("VAN 001") == 1990, "the price is read");
    const bw::Request asked = shop.supplier.requests().at(0);
    check(asked.url == "https://supplier.test/prices/VAN%20001", "the item's name is encoded into the path");
    check(asked.headers.get("Authorization") == "Bearer key", "the request is signed");
}

void asks_again_when_the_supplier_is_busy() {
    Shop shop{busy, busy, price_of(1990)};
    check(shop.prices.price("VAN") == 1990, "the third attempt has the price");
    check(shop.supplier.count() == 3, "three requests were made");
    check(shop.clock.waits().size() == 2, "it waited twice, and the test did not");
}

void waits_as_long_as_the_supplier_asks() {
    Shop shop{bw::Response{.status = 429, .headers = {{"Retry-After", "20"}}}, price_of(1990)};
    check(shop.prices.price("VAN") == 1990, "the price comes after the wait");
    check(shop.clock.waits().at(0) >= 20s, "it waited 20 s and a little");
}

void gives_up_on_a_supplier_that_hangs() {
    Shop shop{{price_of(1990), 1min}, price_of(1950)};
    const bw::Instant began = shop.clock.now();
    check(shop.prices.price("VAN") == 1950, "the second attempt has the price");
    check(shop.clock.now() - began >= 2s && shop.clock.now() - began < 3s, "the first was given 2 s");
}

void leaves_a_dead_supplier_alone() {
    Shop shop{price_of(1990)};
    shop.prices.price("VAN");
    for (int i = 0; i < 5; ++i) shop.supplier.add(bw::Error{bw::Errc::connect_failed});
    for (int i = 0; i < 100; ++i) shop.prices.price("VAN");
    check(shop.supplier.count() == 6, "100 calls reach a dead supplier 5 times");
    check(shop.prices.price("VAN") == 1990, "the last known price is shown");

    shop.supplier.add(price_of(1800));
    shop.clock.advance(60s);
    check(shop.prices.price("VAN") == 1800, "a minute later the supplier is tried again");
}

void never_orders_twice() {
    Shop shop{bw::Error{bw::Errc::receive_failed}, bw::Response{.status = 201}};
    check(!shop.prices.order("VAN"), "an order without an answer is an error");
    check(shop.supplier.count() == 1, "it was sent once: it may have arrived");
    check(shop.supplier.requests().at(0).body == R"({"sku":"VAN"})", "it named the item");
}

int main() {
    const auto began = std::chrono::steady_clock::now();
    const std::vector<std::pair<std::string_view, void (*)()>> tests{
        {"asks for the price of one item", asks_for_the_price_of_one_item},
        {"asks again when the supplier is busy", asks_again_when_the_supplier_is_busy},
        {"waits as long as the supplier asks", waits_as_long_as_the_supplier_asks},
        {"gives up on a supplier that hangs", gives_up_on_a_supplier_that_hangs},
        {"leaves a dead supplier alone", leaves_a_dead_supplier_alone},
        {"never orders twice", never_orders_twice},
    };
    for (const auto& [name, test] : tests) {
        std::cout << name << '\n';
        test();
    }
    const auto took = std::chrono::steady_clock::now() - began;
    std::cout << tests.size() << " tests, " << failures << " failed, in "
              << bw::format_duration(std::chrono::duration_cast<bw::Duration>(took)) << '\n';
    return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
