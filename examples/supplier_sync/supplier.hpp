#pragma once

#include <breakwater/breakwater.hpp>
#include <breakwater/store/redis.hpp>

#include <cstdint>
#include <functional>
#include <iostream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <stop_token>
#include <string>
#include <utility>

namespace supplier_sync {

namespace bw = breakwater;

/// One page of the supplier's products, rows unchecked.
struct Page {
    nlohmann::json products;
    std::int64_t pages = 0;  ///< How many there are.
};

/// The supplier's API. Everything that can go wrong with it is the client's business; what comes out is a page or the
/// reason there is none.
class Supplier {
public:
    explicit Supplier(const bw::ClientOptions& options) : Supplier{bw::ResilientClient{options}} {}
    /// Shares circuit, limit and retry budget with all who use this store.
    Supplier(const bw::ClientOptions& options, const bw::RedisStore& store)
        : Supplier{bw::ResilientClient{options, bw::CurlTransport{}, store}} {}

    bw::Result<Page> page(std::int64_t number, std::int64_t per_page, std::stop_token stop) {
        auto response =
            get_("/inventory", {.query = {{"page", number}, {"per_page", per_page}}, .stop = std::move(stop)});
        if (!response) return bw::fail(response.error());
        bw::Result<nlohmann::json> body = std::move(*response).try_json();
        if (!body) return bw::fail(body.error());
        if (!body->is_object() || !body->contains("products") || !(*body)["products"].is_array() ||
            !body->contains("pages") || !(*body)["pages"].is_number_unsigned()) {
            return bw::fail(bw::Errc::decode_failed, "GET /inventory: no \"products\" and \"pages\" in the answer");
        }
        return Page{.products = std::move((*body)["products"]), .pages = (*body)["pages"].get<std::int64_t>()};
    }

    /// How many products the supplier has: a number that changes seldom, so mostly the cache answers.
    bw::Result<std::int64_t> product_count(std::stop_token stop) {
        auto response = get_("/inventory/summary", {.stop = std::move(stop)});
        if (!response) return bw::fail(response.error());
        bw::Result<nlohmann::json> body = std::move(*response).try_json();
        if (!body) return bw::fail(body.error());
        if (!body->is_object() || !body->contains("products") || !(*body)["products"].is_number_unsigned()) {
            return bw::fail(bw::Errc::decode_failed, "GET /inventory/summary: no \"products\" in the answer");
        }
        return (*body)["products"].get<std::int64_t>();
    }

private:
    template <class Client>
    explicit Supplier(const Client& client)
        : get_{[client](const char* target, const bw::RequestOptions& options) {
              return client.get(target, options);
          }} {}

    std::function<bw::Result<bw::Response>(const char*, const bw::RequestOptions&)> get_;  // of either client
};

/// What all share who are given this URL. Says when it is lost; nothing fails because of that.
inline bw::RedisStore shared_store(const std::string& url) {
    return bw::RedisStore{{.url = url, .observer = [](const bw::Event& event) {
                               std::ostringstream text;
                               if (event.kind == bw::EventKind::store_degraded)
                                   text << "supplier_sync: going on alone, the store does not answer: " << event.subject
                                        << '\n';
                               if (event.kind == bw::EventKind::store_rejoined)
                                   text << "supplier_sync: the store answers again\n";
                               std::cerr << text.str();
                           }}};
}

/// True for an error that waiting does not heal: we are refused (401), ask wrongly, or are set up wrongly.
inline bool is_our_fault(const bw::Error& error) {
    switch (error.code()) {
        case bw::Errc::invalid_options:
        case bw::Errc::invalid_request:
        case bw::Errc::tls_untrusted:
        case bw::Errc::redirect_refused: return true;
        case bw::Errc::http_status: {
            const int status = error.status().value_or(0);
            return status >= 400 && status < 500 && status != 408 && status != 429;
        }
        default: return false;
    }
}

/// What flaky_supplier says it has seen, asked without any policy of the job's own.
inline bw::Result<nlohmann::json> server_counts(const std::string& base_url) {
    bw::ResilientClient client{bw::ClientOptions{.name = "counts", .base_url = base_url}};
    auto response = client.get("/_stats");
    if (!response) return bw::fail(response.error());
    return std::move(*response).try_json();
}

}  // namespace supplier_sync
