// Cache-Control, Expires, Age and Vary: lifetimes lie in their bounds, no-store is never lost, and requests that differ
// in a varying header never share a key.
#include "input.hpp"

#include <breakwater/http/cache_control.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace bw = breakwater;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::Input input{data, size};
    const std::string text{input.rest()};
    const std::string first{input.take_line()};
    const bw::Headers headers = input.take_headers();
    constexpr std::chrono::sys_seconds now = std::chrono::sys_days{std::chrono::July / 1 / 2024};
    const auto is_lifetime = [](bw::Duration span) {
        return span >= bw::Duration{0} && span <= bw::detail::longest_lifetime;
    };

    const bw::CacheControl all = bw::parse_cache_control(headers);
    const bw::CacheControl alone = bw::parse_cache_control({{"Cache-Control", first}});
    for (const bw::CacheControl* directives : {&all, &alone}) {
        fuzz::require(is_lifetime(directives->max_age.value_or(bw::Duration{0})), "max-age lies in its bounds");
        fuzz::require(is_lifetime(directives->stale_if_error.value_or(bw::Duration{0})), "so does stale-if-error");
    }
    const auto lifetime = bw::freshness_lifetime(headers, now);
    fuzz::require(!lifetime || is_lifetime(*lifetime), "a lifetime lies in its bounds");
    if (all.no_store || all.no_cache) fuzz::require(lifetime == bw::Duration{0}, "what may not be kept is not fresh");

    // A field of its own takes nothing away from another, whatever is left open in it.
    bw::CacheControl both =
        bw::parse_cache_control({{"Cache-Control", first}, {"cache-control", "no-store, max-age=7"}});
    fuzz::require(both.no_store, "no-store is never lost");
    fuzz::require(both.max_age == (alone.max_age ? alone.max_age : std::chrono::seconds{7}), "the first max-age holds");
    both = bw::parse_cache_control({{"Cache-Control", "no-store, max-age=7"}, {"Cache-Control", first}});
    fuzz::require(both.no_store && both.max_age == std::chrono::seconds{7}, "whatever follows");
    fuzz::require(bw::parse_cache_control({{"Cache-Control", "no-store, " + first}}).no_store, "nor in one field");
    fuzz::require(
        !bw::is_storable(bw::Method::get, {.status = 200, .headers = {{"Cache-Control", "no-store, " + first}}}),
        "and what holds it is not stored");

    std::size_t bytes = 0;
    bw::detail::for_each_item(std::string_view{text}, [&](std::string_view item) {
        fuzz::require(!item.empty() && item == bw::detail::trim(item), "an item has no space around it");
        bytes += item.size();
    });
    fuzz::require(bytes <= text.size(), "items do not overlap");

    const std::vector<std::string> names = bw::vary_names(headers);
    fuzz::require(
        std::is_sorted(names.begin(), names.end()) && std::adjacent_find(names.begin(), names.end()) == names.end(),
        "names are sorted, each once");
    // Two requests from the lines: one has the first half of them, the other the second.
    bw::Headers one, other;
    for (const bw::Header& field : headers)
        (one.size() < headers.size() / 2 ? one : other).add(field.name, field.value);
    const auto values = [&](const bw::Headers& request) {
        std::vector<std::vector<std::string>> list;
        for (const std::string& name : names) {
            list.emplace_back();
            for (const auto value : request.get_all(name)) list.back().emplace_back(bw::detail::trim(value));
        }
        return list;
    };
    fuzz::require((bw::vary_key(names, one) == bw::vary_key(names, other)) == (values(one) == values(other)),
                  "keys are equal exactly if the varying headers are");
    return 0;
}
