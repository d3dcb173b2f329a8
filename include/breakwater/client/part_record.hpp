#pragma once

#include <breakwater/client/resume.hpp>
#include <breakwater/http/validator.hpp>
#include <breakwater/keyed/hash.hpp>

#include <nlohmann/json.hpp>

#include <array>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace breakwater {

/// What a part of a file that is left for a later call is of.
struct PartRecord {
    std::string source{};  ///< `fingerprint` of the URL.
    Validator validator{};
    std::optional<std::uint64_t> total{};
    friend bool operator==(const PartRecord&, const PartRecord&) = default;
};

/// Tells URLs apart without telling them: they may hold secrets.
inline std::string fingerprint(std::string_view url) {
    const KeyHash hash = SipHash<2, 4>{0, 0}(url);
    std::array<char, 33> text{};
    std::snprintf(text.data(), text.size(), "%016llx%016llx", static_cast<unsigned long long>(hash.high),
                  static_cast<unsigned long long>(hash.low));
    return text.data();
}

template <class Json = nlohmann::json>
std::string to_text(const PartRecord& record) {
    const bool is_tag = record.validator.kind == Validator::Kind::entity_tag;
    Json json{{"version", 1}, {"source", record.source}};
    json[is_tag ? "etag" : "last_modified"] = record.validator.text;
    if (record.total) json["total"] = *record.total;
    return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

/// Nullopt if the text is not what `to_text` writes, as when a process ended while it did.
template <class Json = nlohmann::json>
std::optional<PartRecord> parse_part_record(std::string_view text) {
    const Json json = Json::parse(text, nullptr, false);
    const auto string = [&](const char* name) -> std::optional<std::string> {
        const auto at = json.find(name);
        return at != json.end() && at->is_string() ? std::optional{at->template get<std::string>()} : std::nullopt;
    };
    if (!json.is_object() || json.value("version", Json{}) != 1) return std::nullopt;
    auto source = string("source");
    auto etag = string("etag");
    auto date = string("last_modified");
    if (!source || etag.has_value() == date.has_value()) return std::nullopt;
    if (etag && !detail::is_strong_tag(*etag)) return std::nullopt;
    if (date && !detail::are_all_in_class(*date, detail::value_character)) return std::nullopt;
    PartRecord record{.source = *std::move(source)};
    record.validator.kind = etag ? Validator::Kind::entity_tag : Validator::Kind::date;
    record.validator.text = etag ? *std::move(etag) : *std::move(date);
    if (const auto total = json.find("total"); total != json.end()) {
        if (!total->is_number_unsigned()) return std::nullopt;
        record.total = total->template get<std::uint64_t>();
    }
    return record;
}

}  // namespace breakwater
