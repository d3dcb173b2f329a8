#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <stdexcept>
#include <string>

namespace outage_lab {

/// A mistake on the command line or in a file: exit status 2.
class Misuse : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

struct Sweep {
    std::string path;  ///< Of an option: "circuit_breaker.recovery_timeout".
    std::string from, to;
};

struct Settings {
    std::uint64_t seed = 1;
    bool is_quick = false;  ///< Smaller worlds, for tests: the same relations, in a few seconds.
    std::filesystem::path out = "outage_lab";
    std::filesystem::path file{};  ///< Of the scenario `own`.
    std::optional<Sweep> sweep{};
};

// The scenarios: each prints a table and draws a picture.
void herd(const Settings& settings);
void storm(const Settings& settings);
void fleet(const Settings& settings);
void tail(const Settings& settings);
void own(const Settings& settings);

}  // namespace outage_lab
