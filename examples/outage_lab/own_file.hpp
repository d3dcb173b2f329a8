#pragma once

#include "settings.hpp"

#include <breakwater/client/from_json.hpp>
#include <breakwater/client/json_reader.hpp>
#include <breakwater/testing/simulation/service.hpp>

#include <nlohmann/json.hpp>

#include <cstdint>
#include <exception>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace outage_lab {

namespace bw = breakwater;
using Json = nlohmann::json;
using Reader = bw::detail::JsonReader<Json>;

/// What the file says; see example.json.
struct OwnWorld {
    bw::Duration duration = std::chrono::minutes{10};
    std::uint32_t processes = 10;   ///< Each has a client of its own.
    double calls_per_second = 100;  ///< Of all processes together.
    std::uint32_t targets = 1'000;  ///< The calls get one of so many, at random.
    bw::ClientOptions client{};
    bw::testing::SimulatedServiceOptions service{};
};

inline Json read_file(const std::filesystem::path& path) {
    std::ifstream file{path};
    if (!file) throw Misuse{path.string() + ": cannot be read"};
    try {
        return Json::parse(file, nullptr, true, true);
    } catch (const std::exception& error) {
        throw Misuse{path.string() + ": " + error.what()};
    }
}

/// A duration, or {"exponential": mean}, or {"log_normal": median, "sigma": …}, with "stall_share" and "stall".
inline void read_random(const Reader& reader, bw::testing::RandomDuration& into) {
    using Kind = bw::testing::RandomDuration::Kind;
    if (!reader.value().is_object()) return reader.read(into.typical);
    into.kind = reader.value().contains("log_normal")    ? Kind::log_normal
                : reader.value().contains("exponential") ? Kind::exponential
                                                         : Kind::constant;
    reader.object([&](const auto& member) {
        for (const char* kind : {"constant", "exponential", "log_normal"}) member(kind, into.typical);
        member("sigma", into.sigma);
        member("stall_share", into.stall_share);
        member("stall", into.stall);
    });
}

inline void check_range(const Reader& own, double value, double least, double most, const char* range) {
    if (!(value >= least && value <= most)) own.mistake(std::string{"must be "} + range);
}

inline void read_outage(const Reader& reader, bw::testing::Outage& outage) {
    using Reach = bw::testing::Outage::Reach;
    const auto number = [](double& into, double least, double most, const char* range) {
        return [&into, least, most, range](const Reader& own) {
            own.read(into);
            check_range(own, into, least, most, range);
        };
    };
    reader.require({"at", "lasts"});
    reader.object([&](const auto& member) {
        member("at", outage.at);
        member("lasts", outage.lasts);
        member("reach", [&](const Reader& own) {
            own.read_word(outage.reach,
                          {{"answers", Reach::answers}, {"refuses", Reach::refuses}, {"hangs", Reach::hangs}});
        });
        member("slowdown", number(outage.slowdown, 0.001, 1e6, "0.001 to 1000000"));
        member("capacity", number(outage.capacity, 0, 1, "0 to 1"));
        member("error_rate", number(outage.error_rate, 0, 1, "0 to 1"));
    });
}

inline void read_service(const Reader& reader, bw::testing::SimulatedServiceOptions& service,
                         std::vector<std::string>& mistakes) {
    using Abandoned = bw::testing::SimulatedServiceOptions::Abandoned;
    reader.object([&](const auto& member) {
        member("workers", [&](const Reader& own) {
            own.read(service.workers);
            check_range(own, service.workers, 1, 1e6, "1 to 1000000");
        });
        member("work", [&](const Reader& own) { read_random(own, service.work); });
        member("max_queue", service.max_queue);
        member("round_trip", [&](const Reader& own) { read_random(own, service.round_trip); });
        member("abandoned", [&](const Reader& own) {
            own.read_word(service.abandoned, {{"worked", Abandoned::worked}, {"dropped", Abandoned::dropped}});
        });
        member("outages", [&](const Reader& own) {
            if (!own.value().is_array()) return own.wrong_type("a list");
            for (std::size_t i = 0; i < own.value().size(); ++i) {
                const Json& one = own.value()[i];
                read_outage(Reader{one, own.path() + "[" + std::to_string(i) + "]", mistakes},
                            service.script.emplace_back());
            }
        });
    });
}

/// Throws `Misuse`, which names every mistake by its path.
inline OwnWorld own_world(const Json& json, const std::string& name) {
    OwnWorld world;
    std::vector<std::string> mistakes;
    const Reader top{json, "", mistakes};
    const auto number = [](auto& into, double least, double most, const char* range) {
        return [&into, least, most, range](const Reader& own) {
            own.read(into);
            check_range(own, static_cast<double>(into), least, most, range);
        };
    };
    top.object([&](const auto& member) {
        member("duration", world.duration);
        member("processes", number(world.processes, 1, 1e5, "1 to 100000"));
        member("calls_per_second", number(world.calls_per_second, 0.001, 1e6, "0.001 to 1000000"));
        member("targets", number(world.targets, 1, 1e9, "1 to 1000000000"));
        member("service", [&](const Reader& own) { read_service(own, world.service, mistakes); });
        member("client", [&](const Reader& own) {
            if (auto options = bw::client_options_from_json(own.value()))
                world.client = *std::move(options);
            else
                own.mistake(options.error().detail());
        });
    });
    if (world.duration < std::chrono::seconds{1} || world.duration > std::chrono::hours{24})
        mistakes.emplace_back("duration: must be 1s to 24h");
    if (!mistakes.empty()) throw Misuse{name + ": " + std::string{bw::detail::mistaken(mistakes).error().detail()}};
    return world;
}

}  // namespace outage_lab
