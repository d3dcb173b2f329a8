#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <iomanip>
#include <nlohmann/json.hpp>
#include <ostream>
#include <sstream>
#include <string>
#include <string_view>

namespace flaky {

/// The supplier's products: 10 departments of 500, the same in every run. A shop knows the first 495 of each; the
/// other 50 are new to it. Some rows are there twice, once right and once broken, as exports sometimes are.
class Products {
public:
    static constexpr std::size_t count = 5'000;

    explicit Products(std::size_t broken_rows) : broken_rows_{std::min(broken_rows, count)} {}

    /// The page as the supplier sends it: {"page", "pages", "products": [...]}. Pages count from 1.
    nlohmann::json page(std::size_t number, std::size_t per_page) const {
        nlohmann::json rows = nlohmann::json::array();
        const std::size_t first = std::min((number - 1) * per_page, count);
        for (std::size_t i = first; i < std::min(first + per_page, count); ++i) {
            if (has_broken_twin(i)) rows.push_back(broken_twin(i));
            rows.push_back(row(i));
        }
        return {{"page", number}, {"pages", (count + per_page - 1) / per_page}, {"products", std::move(rows)}};
    }

    nlohmann::json summary() const { return {{"products", count}, {"departments", departments.size()}}; }

    /// The SKUs a shop knows, one a line.
    static void write_known(std::ostream& out) {
        for (std::size_t i = 0; i < count; ++i) {
            if (i % per_department < known_per_department) out << sku(i) << '\n';
        }
    }

private:
    static constexpr std::array<std::string_view, 10> departments{"BUT", "CHE", "CRM", "EGG", "ICE",
                                                                  "MLK", "OAT", "QRK", "VAN", "YOG"};
    static constexpr std::size_t per_department = count / departments.size();
    static constexpr std::size_t known_per_department = 495;

    static std::string sku(std::size_t i) {
        if (i == count - 1) return "'); DROP TABLE items;--";  // a name like any other, to whoever binds parameters
        std::ostringstream text;
        text << departments[i / per_department] << '-' << std::setw(4) << std::setfill('0') << i % per_department + 1;
        return text.str();
    }

    /// A well-mixed number for each product and purpose.
    static std::uint64_t hash(std::size_t i, std::uint64_t purpose) {
        std::uint64_t z = (static_cast<std::uint64_t>(i) + 1) * 0x9e3779b97f4a7c15U + purpose * 0xd1342543de82ef95U;
        z = (z ^ (z >> 32)) * 0xd6e8feb86659fd93U;
        z = (z ^ (z >> 32)) * 0xd6e8feb86659fd93U;
        return z ^ (z >> 32);
    }

    static nlohmann::json row(std::size_t i) {
        const bool low = hash(i, 1) % 25 == 0;  // 4 %
        const auto stock = static_cast<int>(low ? hash(i, 2) % 50 : 50 + hash(i, 2) % 950);
        return {{"sku", sku(i)}, {"stock", stock}, {"price", static_cast<double>(49 + hash(i, 3) % 4'950) / 100}};
    }

    bool has_broken_twin(std::size_t i) const { return (i + 1) * broken_rows_ / count != i * broken_rows_ / count; }

    nlohmann::json broken_twin(std::size_t i) const {
        nlohmann::json twin = row(i);
        switch (i * broken_rows_ / count % 12) {
            case 0: twin.erase("sku"); break;
            case 1: twin["stock"] = -7; break;
            case 2: twin["price"] = "4.99"; break;
            case 3: twin["sku"] = 4711; break;
            case 4: twin["stock"] = "a dozen"; break;
            case 5: twin.erase("price"); break;
            case 6: twin["stock"] = 12.5; break;
            case 7: twin["price"] = -0.01; break;
            case 8: twin = nullptr; break;
            case 9: twin["sku"] = "\x1b[2Jgone"; break;  // clears a careless terminal
            case 10: twin["stock"] = 18'000'000'000'000'000'000U; break;
            default: twin = nlohmann::json::array({sku(i), 3}); break;
        }
        return twin;
    }

    std::size_t broken_rows_;
};

}  // namespace flaky
