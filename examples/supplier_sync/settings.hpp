#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>

namespace supplier_sync {

/// The part of the configuration that is not the client's.
struct SyncSettings {
    std::string database = "inventory.db";
    std::int64_t per_page = 100;            ///< 1 to 500.
    std::int64_t low_stock_threshold = 50;  ///< An item below this gets an alert. From 0.
    std::string assignee = "purchasing";
    std::string priority = "high";  ///< low, normal or high.
};

/// {"client": what ResilientClient takes, "sync": SyncSettings}.
struct Settings {
    nlohmann::json client;
    SyncSettings sync;
};

/// Something the person who started the program can put right.
struct UsageError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

namespace detail {

inline void read(const nlohmann::json& value, const std::string& path, std::string& into) {
    if (!value.is_string() || value.get_ref<const std::string&>().empty()) {
        throw UsageError{path + ": must be a text, got " + value.dump()};
    }
    into = value.get<std::string>();
}

inline void read(const nlohmann::json& value, const std::string& path, std::int64_t least, std::int64_t most,
                 std::int64_t& into) {
    if (!value.is_number_integer() || value < least || value > most) {
        throw UsageError{path + ": must be a whole number from " + std::to_string(least) + " to " +
                         std::to_string(most) + ", got " + value.dump()};
    }
    into = value.get<std::int64_t>();
}

inline SyncSettings read_sync(const nlohmann::json& object) {
    if (!object.is_object()) throw UsageError{"sync: must be an object, got " + object.dump()};
    SyncSettings settings;
    for (const auto& [key, value] : object.items()) {
        const std::string path = "sync." + key;
        if (key == "database")
            read(value, path, settings.database);
        else if (key == "per_page")
            read(value, path, 1, 500, settings.per_page);
        else if (key == "low_stock_threshold")
            read(value, path, 0, 1'000'000, settings.low_stock_threshold);
        else if (key == "assignee")
            read(value, path, settings.assignee);
        else if (key == "priority")
            read(value, path, settings.priority);
        else
            throw UsageError{path + ": unknown; there are database, per_page, low_stock_threshold, assignee, priority"};
    }
    if (const auto& p = settings.priority; p != "low" && p != "normal" && p != "high") {
        throw UsageError{"sync.priority: must be low, normal or high, got \"" + p + '"'};
    }
    return settings;
}

}  // namespace detail

/// Throws UsageError, naming what is wrong by its path.
inline Settings read_settings(const std::string& file) {
    std::ifstream in{file};
    if (!in) throw UsageError{"cannot read " + file};
    std::ostringstream text;
    text << in.rdbuf();
    nlohmann::json json;
    try {
        json = nlohmann::json::parse(text.str());
    } catch (const nlohmann::json::parse_error& error) {
        throw UsageError{file + ": " + error.what()};
    }
    if (!json.is_object() || !json.contains("client") || !json["client"].is_object()) {
        throw UsageError{file + ": must have a \"client\" object"};
    }
    Settings settings;
    for (const auto& [key, value] : json.items()) {
        if (key == "client")
            settings.client = value;
        else if (key == "sync")
            settings.sync = detail::read_sync(value);
        else
            throw UsageError{key + ": unknown; there are client and sync"};
    }
    return settings;
}

}  // namespace supplier_sync
