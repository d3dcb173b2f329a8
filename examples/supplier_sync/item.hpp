#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <expected>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

namespace supplier_sync {

struct Item {
    std::string sku;
    std::int64_t stock = 0;
    std::int64_t price = 0;  ///< In cents.
};

/// A value as the supplier sent it, fit for a terminal: escaped, and not longer than a line can bear.
inline std::string quoted(const nlohmann::json& value) {
    std::string text = value.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
    if (text.size() > 60) text.replace(57, std::string::npos, "...");
    return text;
}

/// Reads one row of the supplier's answer, or says what is wrong with it. Nothing in it is taken on trust.
inline std::expected<Item, std::string> parse_item(const nlohmann::json& row) {
    constexpr std::int64_t most = 1'000'000'000;
    if (!row.is_object()) return std::unexpected{"not an item: " + quoted(row)};

    const auto sku = row.find("sku");
    if (sku == row.end()) return std::unexpected{"sku is missing: " + quoted(row)};
    if (!sku->is_string()) return std::unexpected{"sku is not a text: " + quoted(*sku)};
    Item item{.sku = sku->get<std::string>()};
    const bool printable = std::ranges::none_of(item.sku, [](unsigned char c) { return c < ' ' || c == 0x7f; });
    if (item.sku.empty() || item.sku.size() > 64 || !printable) return std::unexpected{"bad sku: " + quoted(*sku)};

    const auto bad = [&](const char* field, const std::string& problem) {
        return std::unexpected{quoted(*sku) + ": " + field + " " + problem};
    };
    const auto stock = row.find("stock");
    if (stock == row.end()) return bad("stock", "is missing");
    if (!stock->is_number_integer()) return bad("stock", "is not a whole number: " + quoted(*stock));
    if (*stock < 0 || *stock > most) return bad("stock", "is out of range: " + quoted(*stock));
    item.stock = stock->get<std::int64_t>();

    const auto price = row.find("price");
    if (price == row.end()) return bad("price", "is missing");
    if (!price->is_number()) return bad("price", "is not a number: " + quoted(*price));
    const double amount = price->get<double>();
    if (!(amount >= 0 && amount <= 1e9)) return bad("price", "is out of range: " + quoted(*price));
    item.price = std::llround(amount * 100);
    return item;
}

}  // namespace supplier_sync
