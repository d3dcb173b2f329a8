#pragma once

#include <breakwater/client/duration.hpp>
#include <breakwater/clock.hpp>

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "settings.hpp"

namespace supplier_sync {

namespace bw = breakwater;

/// What main.cpp says at its beginning.
struct CommandLine {
    std::string config;
    std::optional<std::string> skus, base_url, database, store, report;
    std::optional<bw::Duration> every;
    bool until_complete = false;
    bool compare = false;
};

/// Throws UsageError.
inline CommandLine parse(int argc, char** argv) {
    CommandLine line;
    std::optional<std::string> every;
    const std::map<std::string_view, std::optional<std::string>*> values{
        {"--init", &line.skus},         {"--every", &every},      {"--base-url", &line.base_url},
        {"--database", &line.database}, {"--store", &line.store}, {"--report", &line.report}};
    const std::map<std::string_view, bool*> flags{{"--until-complete", &line.until_complete},
                                                  {"--compare", &line.compare}};
    for (int i = 1; i < argc; ++i) {
        const std::string word = argv[i];
        if (const auto value = values.find(word); value != values.end()) {
            if (++i == argc) throw UsageError{word + " needs a value"};
            *value->second = argv[i];
        } else if (const auto flag = flags.find(word); flag != flags.end()) {
            *flag->second = true;
        } else if (word.starts_with('-') || !line.config.empty()) {
            throw UsageError{"what is " + word + "?"};
        } else {
            line.config = word;
        }
    }
    if (line.config.empty()) throw UsageError{"which configuration? supplier_sync CONFIG.json [options]"};
    if (every) {
        line.every = bw::parse_duration(*every);
        if (!line.every || *line.every <= bw::Duration{}) throw UsageError{"--every: must be like 4h, 15min or 3s"};
    }
    return line;
}

}  // namespace supplier_sync
