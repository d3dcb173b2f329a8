#pragma once

#include <breakwater/result.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

namespace breakwater {

/// Arrays and objects inside each other beyond this are refused: copying or printing such a document recurses.
inline constexpr std::size_t max_json_depth = 500;

/// The document in `text`, or `Errc::decode_failed` with the place of the first mistake. The text itself, which may
/// hold secrets, is never repeated. (What works on JSON is a template so that only a source that uses it pays for it.)
template <class Json = nlohmann::json>
Result<Json> parse_json(std::string_view text);

/// A JSON document that is parsed on first use and kept. Empty, it owns no memory; copies are deep.
class JsonDocument {
public:
    JsonDocument() noexcept = default;
    JsonDocument(const JsonDocument& other) : document_{other.clone()} {}
    JsonDocument(JsonDocument&& other) noexcept : document_{other.release()} {}
    JsonDocument& operator=(JsonDocument other) noexcept {
        delete get();
        document_.store(other.release(), std::memory_order_release);
        return *this;
    }
    ~JsonDocument() { delete get(); }

    /// Null until the first successful `parse`.
    nlohmann::json* get() const noexcept { return document_.load(std::memory_order_acquire); }

    /// The document, parsed from `text` if there is none yet. Several threads may call it at once: one result is kept.
    template <class Json = nlohmann::json>
    Result<Json*> parse(std::string_view text) const {
        if (auto* kept = get()) return kept;
        auto parsed = parse_json<Json>(text);
        if (!parsed) return fail(std::move(parsed.error()));
        auto* fresh = new Json(std::move(*parsed));
        Json* kept = nullptr;
        if (document_.compare_exchange_strong(kept, fresh, std::memory_order_acq_rel)) return fresh;
        delete fresh;
        return kept;
    }

private:
    nlohmann::json* clone() const {
        const auto* kept = get();
        return kept ? new nlohmann::json(*kept) : nullptr;
    }
    nlohmann::json* release() noexcept {  // moving needs exclusive access anyway: no locked instruction
        auto* kept = get();
        document_.store(nullptr, std::memory_order_relaxed);
        return kept;
    }

    mutable std::atomic<nlohmann::json*> document_{nullptr};
};

namespace detail {

/// True if brackets nest deeper than allowed. A rough count (strings are skipped, pairs not matched) is enough: the
/// parser refuses what is malformed.
inline bool is_too_deep(std::string_view text) noexcept {
    std::size_t depth = 0;
    bool in_string = false;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        if (in_string) {
            if (c == '\\') {
                ++i;
            } else if (c == '"') {
                in_string = false;
            }
        } else if (c == '"') {
            in_string = true;
        } else if (c == '[' || c == '{') {
            if (++depth > max_json_depth) return true;
        } else if ((c == ']' || c == '}') && depth > 0) {
            --depth;
        }
    }
    return false;
}

inline std::string describe_place(std::string_view text, std::size_t byte) {
    const std::string_view before = text.substr(0, byte > 0 ? byte - 1 : 0);
    const auto line = std::count(before.begin(), before.end(), '\n') + 1;
    const auto column = before.size() - (before.rfind('\n') + 1) + 1;  // npos + 1 == 0
    return "byte " + std::to_string(byte) + " (line " + std::to_string(line) + ", column " + std::to_string(column) +
           ")";
}

}  // namespace detail

template <class Json>
Result<Json> parse_json(std::string_view text) {
    if (text.empty()) return fail(Errc::decode_failed, "not JSON: it is empty");
    if (detail::is_too_deep(text)) {
        return fail(Errc::decode_failed, "JSON nested more than " + std::to_string(max_json_depth) + " levels deep");
    }
    try {
        return Json::parse(text);
    } catch (const typename Json::parse_error& error) {  // its what() quotes the text
        return fail(Errc::decode_failed, "not JSON at " + detail::describe_place(text, error.byte));
    } catch (const typename Json::exception&) {
        return fail(Errc::decode_failed, "JSON with a number out of range");
    }
}

}  // namespace breakwater
