#pragma once

#include <breakwater/result.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstddef>
#include <exception>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace breakwater::detail {

/// Finds where in a document a conversion failed, which nlohmann's exceptions tell only with JSON_DIAGNOSTICS, a macro
/// for whole programs.
///
/// It asks the conversion itself: a part of the document that is replaced by something nobody takes changes the failure
/// if the conversion has come that far. Of the parts it has come to, the failure lies in the last one: so downwards
/// from the root to the last value that was read, and back up to the one that the failure speaks of. The conversion
/// runs up to `max_probes` times for that; where it answers in no comprehensible way, no place is claimed.
template <class Json>
class JsonFault {
public:
    /// What the failure of a conversion says; nullopt if it succeeds.
    using Conversion = std::optional<std::string> (*)(const Json&);
    static constexpr int max_probes = 400;

    JsonFault(const Json& document, Conversion convert) : document_(document), convert_{convert} {
        failure_ = convert_(document_).value_or("");
        typename Json::json_pointer pointer;
        for (Json* node = &document_; node != nullptr;) {
            way_.push_back({node, pointer});
            node = last_read(*node, pointer);
        }
    }

    /// "/products/3/price: expected number, got string".
    std::string describe() {
        if (const auto kinds = between("type must be ", {})) {
            const auto but = kinds->find(", but is ");
            if (but != kinds->npos) {
                return describe_type(kinds->substr(0, but), kinds->substr(but + 9), kinds->substr(0, but + 9));
            }
        }
        if (const auto access = between("cannot use ", {})) {
            const auto with = access->rfind(" with ");
            if (with != access->npos) {
                const std::string_view got = access->substr(with + 6);
                const std::string_view wanted = got == "array"    ? "object"
                                                : got == "object" ? "array"
                                                                  : "object or array";
                return describe_type(wanted, got, access->substr(0, with + 6));
            }
        }
        if (const auto key = between("key '", "' not found")) return describe_missing(*key);
        std::string_view text{failure_};
        if (text.starts_with("[json.exception.")) {
            text.remove_prefix(std::min(text.find("] ") + 2, text.size()));
            if (text.starts_with("(/")) text.remove_prefix(std::min(text.find(") ") + 2, text.size()));
        }
        const bool in_root = way_.size() == 1;
        return (in_root ? std::string{} : "after reading " + way_.back().pointer.to_string() + ": ") +
               std::string{text};
    }

private:
    struct Step {
        Json* node;
        typename Json::json_pointer pointer;
    };

    std::optional<std::string_view> between(std::string_view before, std::string_view after) const {
        const std::string_view text{failure_};
        const auto from = text.find(before);
        if (!text.starts_with("[json.exception.") || from == text.npos) return std::nullopt;
        const auto to = after.empty() ? text.size() : text.rfind(after);
        if (to == text.npos || to < from + before.size()) return std::nullopt;
        return text.substr(from + before.size(), to - from - before.size());
    }

    static Json stranger() { return Json::binary({}); }

    std::optional<std::string> probe() {
        ++probes_;
        return convert_(document_);
    }
    std::optional<std::string> probe_without(Json& node) {
        Json kept = std::exchange(node, stranger());
        auto answer = probe();
        node = std::move(kept);
        return answer;
    }
    bool is_read(Json& node) { return probe_without(node) != failure_; }

    /// Of two parts that are both read, the one that is read later.
    Json& later(Json& a, Json& b) {
        Json kept = std::exchange(b, Json(Json::value_t::discarded));
        const auto both = probe_without(a);
        b = std::move(kept);
        return both == probe_without(a) ? b : a;
    }

    Json* last_read(Json& node, typename Json::json_pointer& pointer) {
        if (probes_ >= max_probes || node.empty()) return nullptr;
        if (node.is_array()) return last_element(node, pointer);
        return node.is_object() ? last_member(node, pointer) : nullptr;
    }

    /// Members of a class and elements of a tuple are read in any order; more of them are no class or tuple, but a map
    /// or a list, which is read in its order.
    Json* last_of(const std::vector<Json*>& parts, std::size_t many) {
        Json* last = nullptr;
        if (parts.size() > many) {
            const auto end =
                std::partition_point(parts.begin(), parts.end(), [this](Json* part) { return is_read(*part); });
            return end == parts.begin() ? nullptr : *(end - 1);
        }
        for (Json* part : parts) {
            if (probes_ >= max_probes) return nullptr;
            if (is_read(*part)) last = last == nullptr ? part : &later(*last, *part);
        }
        return last;
    }

    Json* last_element(Json& array, typename Json::json_pointer& pointer) {
        std::vector<Json*> elements;
        for (Json& element : array) elements.push_back(&element);
        const Json* last = last_of(elements, 8);
        if (last == nullptr) return nullptr;
        const auto index =
            static_cast<std::size_t>(std::find(elements.begin(), elements.end(), last) - elements.begin());
        pointer /= index;
        // If the failure is the same without the other elements, the probes to come have less to read.
        Json only = Json::array();
        only.push_back(array[index]);
        Json kept = std::exchange(array, std::move(only));
        if (probe() == failure_) return &array.front();
        array = std::move(kept);
        return &array[index];
    }

    Json* last_member(Json& object, typename Json::json_pointer& pointer) {
        std::vector<Json*> members;
        for (Json& member : object) members.push_back(&member);
        Json* last = last_of(members, 64);
        for (const auto& [key, member] : object.items())
            if (&member == last) pointer /= key;
        return last;
    }

    static std::string place(const Step& step) {
        return step.pointer.empty() ? "the document" : step.pointer.to_string();
    }

    /// The value of the kind it got for which every other kind is refused alike: not one that was read before, as that
    /// was taken.
    std::string describe_type(std::string_view wanted, std::string_view got, std::string_view refusal) {
        std::string words = "expected " + std::string{wanted} + ", got " + std::string{got};
        const std::string refused = std::string{refusal} + stranger().type_name();
        for (auto step = way_.rbegin(); step != way_.rend(); ++step) {
            if (step->node->type_name() != got) continue;
            const auto answer = probe_without(*step->node);
            if (answer && answer->ends_with(refused)) return place(*step) + ": " + words;
        }
        return words;
    }

    std::string describe_missing(std::string_view name) {
        const std::string key{name};
        std::string words = "\"" + key + "\" is missing";
        for (auto step = way_.rbegin(); step != way_.rend(); ++step) {
            if (!step->node->is_object() || step->node->contains(key)) continue;
            (*step->node)[key] = stranger();
            const bool found = probe() != failure_;
            step->node->erase(key);
            if (found) return place(*step) + ": " + words;
        }
        return words;
    }

    Json document_;
    Conversion convert_;
    std::string failure_;
    std::vector<Step> way_;  // from the root to the last value that was read
    int probes_ = 0;
};

/// What the failure of a conversion to T says; nullopt if it succeeds.
template <class T, class Json>
std::optional<std::string> conversion_failure(const Json& document) {
    try {
        (void)document.template get<T>();
        return std::nullopt;
    } catch (const std::exception& failure) {
        return failure.what();
    } catch (...) {
        return "the conversion threw";
    }
}

}  // namespace breakwater::detail
