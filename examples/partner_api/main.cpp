// An asynchronous client of a partner's API: calls side by side, an answer while a part of it is down, an alert when a
// circuit opens; and what the order of breaker and retry is worth. About 3 s.
#include "alerts.hpp"
#include "breaker_and_retry.hpp"
#include "partner_service.hpp"

#include <breakwater/resilient_client.hpp>
#include <breakwater/task/sleep.hpp>
#include <breakwater/task/start.hpp>
#include <breakwater/task/when_all.hpp>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <iomanip>
#include <iostream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace partner_api {

using Client = bw::ResilientClient<>;
using Answer = bw::Result<bw::Response>;

bool all_true = true;
void expect(bool holds, std::string_view what) {
    if (!holds) std::cout << "  NOT AS EXPECTED: " << what << '\n';
    all_true = all_true && holds;
}
void say(std::string_view what, const Answer& answer) {
    std::cout << "  " << std::left << std::setw(13) << what << (answer ? answer->body : answer.error().message())
              << std::endl;
}

bw::Result<bw::Response> no_location(const bw::Error&) {
    return bw::Response{.status = 200, .body = R"({"location": null, "source": "fallback"})"};
}

struct Partner {
    Answer profile, location, fraud_score;
};

bw::Task<Partner> look_up(Client client, int id) {
    const std::string target = "/partners/" + std::to_string(id);
    auto all =
        bw::when_all(client.async_get(target), client.async_get(target + "/location", {.fallback = no_location}),
                     client.async_post("/fraud-score", {.json = {{"partner", id}}, .idempotency_key = bw::auto_key}));
    auto [profile, location, fraud_score] = co_await all;
    co_return Partner{std::move(profile), std::move(location), std::move(fraud_score)};
}

bw::Task<> show_side_by_side(Client client) {
    std::cout << "\nThree questions side by side, each of 50 ms\n";
    const auto began = std::chrono::steady_clock::now();
    const Partner partner = co_await look_up(client, 42);
    const auto took = std::chrono::duration_cast<bw::Duration>(std::chrono::steady_clock::now() - began);
    say("profile", partner.profile);
    say("location", partner.location);
    say("fraud score", partner.fraud_score);
    std::cout << "  answered after " << bw::format_duration(took) << '\n';
    expect(partner.profile && partner.location && partner.fraud_score, "all three are answered");
}

bw::Task<> show_an_open_circuit(Client client, PartnerService& service, const Alerts& alerts) {
    std::cout << "\nWhere the partners are is not known any more: each question fails with 503\n";
    service.location_is_down = true;
    Partner partner = co_await look_up(client, 42);
    say("location", partner.location);
    expect(!partner.location && partner.location.error().status() == 503, "an error while the circuit is closed");
    partner = co_await look_up(client, 42);
    say("location", partner.location);
    partner = co_await look_up(client, 42);
    say("location", partner.location);
    say("profile", partner.profile);
    expect(partner.location && partner.location->source == bw::Source::fallback, "the fallback while it is open");
    expect(partner.profile && partner.fraud_score && alerts.opened() == 1, "the others have circuits of their own");

    std::cout << "  … a second later the service is whole again\n";
    service.location_is_down = false;
    (void)co_await bw::sleep_for(1100ms);
    partner = co_await look_up(client, 42);
    say("location", partner.location);
    expect(partner.location && partner.location->source == bw::Source::network, "the circuit has closed");
}

bw::Task<> show_many(Client client, PartnerService& service) {
    service.most_at_once = 0;
    std::vector<bw::Task<Answer>> calls;
    for (int id = 1; id <= 300; ++id) calls.push_back(client.async_get("/partners/" + std::to_string(id)));
    const auto answers = co_await bw::when_all(std::move(calls));
    const auto good = std::ranges::count_if(answers, [](const Answer& answer) { return answer.has_value(); });
    std::cout << "\n300 profiles side by side\n  " << good << " answered; the service saw at most "
              << service.most_at_once << " at once\n";
    expect(good == 300 && service.most_at_once <= 100, "300 answers by at most 100 connections");
}

bw::Task<> show(Client client, PartnerService& service, const Alerts& alerts) {
    co_await show_side_by_side(client);
    co_await show_an_open_circuit(client, service, alerts);
    co_await show_many(client, service);
    std::cout << "\nHow often 100 calls reach a service that is down\n";
    expect(co_await show_both_ways(service), "20 times and 5 times");
}

}  // namespace partner_api

int main() {
    using namespace partner_api;
    PartnerService service;
    Alerts alerts;
    const Client client{
        bw::ClientOptions{.name = "partner",
                          .base_url = service.url(),
                          .timeouts = {.attempt = 10s},
                          .circuit_breaker = {.trip = bw::ConsecutiveFailures{5}, .recovery_timeout = 1s},
                          .circuits = {.per = bw::by_endpoint()},
                          .retry = {.max_retries = 2, .backoff = {.base = 20ms, .cap = 100ms}},
                          .fallback = {.on = bw::when_open},
                          .observer = std::ref(alerts)},
        bw::CurlTransport{bw::CurlOptions{.max_connections = 100}}};
    bw::sync_wait(show(client, service, alerts));
    std::cout << "\nWhat the client's observer has counted\n" << alerts.table();
    return all_true ? EXIT_SUCCESS : EXIT_FAILURE;
}
