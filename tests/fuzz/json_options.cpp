// Options from JSON, whatever the bytes: never an exception, never options that `validate` refuses, each mistake in
// words that name its path, and never a secret in them.
#include "input.hpp"

#include <breakwater/client/curl_from_json.hpp>
#include <breakwater/client/from_json.hpp>
#include <breakwater/testing/fault_injection/from_json.hpp>

#include <nlohmann/json.hpp>

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

namespace bw = breakwater;
using nlohmann::json;

namespace {

/// A reference to a file would be followed: to a pipe, and wait for ever.
bool refers_to_a_file(const json& value) {
    if (value.is_object() && value.contains("file")) return true;
    for (const json& inner : value) {
        if (inner.is_structured() && refers_to_a_file(inner)) return true;
    }
    return false;
}

template <class Options>
void check(const bw::Result<Options>& options) {
    if (options) {
        fuzz::require(bw::validate(*options).has_value(), "accepted options are good ones");
        return;
    }
    fuzz::require(options.error().code() == bw::Errc::invalid_options, "a mistake is one of the options");
    const std::string text{options.error().detail()};
    fuzz::require(text.find(": ", 1) != text.npos, "a mistake begins with its path");
    for (const char c : text)
        fuzz::require(static_cast<unsigned char>(c) >= 0x20 && c != '\x7f', "a mistake is told on one line");
    fuzz::require(json(text).dump().size() >= text.size(), "in UTF-8");  // throws if not
    fuzz::require(text.size() < 64 * 1'024, "and is bounded");
}

template <class Options>
void refuses_the_secret(const bw::Result<Options>& refused) {
    fuzz::require(!refused && refused.error().detail().find("hunter2") == std::string_view::npos,
                  "a secret written out is refused and not repeated");
}

bool accepts(const json& value) { return bw::client_options_from_json(value).has_value(); }

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::Input input{data, size};
    json value = json::parse(input.rest(), nullptr, false);
    if (!value.is_discarded() && !refers_to_a_file(value)) {
        check(bw::client_options_from_json(value));
        check(bw::curl_options_from_json(value));
        check(bw::curl_options_from_json({{"transport", value}}));
        check(bw::fault_options_from_json(value));
        check(bw::store_fault_options_from_json(value));
        if (value.is_object()) {
            value["auth"] = {{"bearer", "hunter2-hunter2"}};
            refuses_the_secret(bw::client_options_from_json(value));
            value["proxy"] = "http://ann:hunter2-hunter2@proxy.test";
            refuses_the_secret(bw::curl_options_from_json({{"transport", value}}));
        }
    }

    // Any number in the place of one that is expected, and any text in that of a duration.
    const auto number = input.take<double>();
    const auto integer = fuzz::Input{data, size}.take<std::int64_t>();
    std::string text{input.rest()};
    for (char& c : text) c = static_cast<char>(c & 0x7f);  // a parsed document holds no broken UTF-8
    fuzz::require(
        !accepts({{"retry", {{"backoff", {{"multiplier", number}}}}}}) || (std::isfinite(number) && number >= 1.0),
        "no multiplier below 1");
    fuzz::require(!accepts({{"circuit_breaker", {{"half_open_probes", number}}}}), "no fraction of a probe");
    fuzz::require(accepts({{"circuit_breaker", {{"half_open_probes", integer}}}}) == (integer >= 1 && integer <= 32),
                  "1 to 32 probes");
    fuzz::require(accepts({{"max_response_bytes", integer}}) == (integer >= 1), "a size is not negative");
    const json ratio = {{"circuit_breaker", {{"trip", {{"failure_rate", {{"ratio", number}}}}}}}};
    fuzz::require(accepts(ratio) == (number > 0.0 && number <= 1.0), "a ratio is one");
    check(bw::client_options_from_json(ratio));
    check(bw::client_options_from_json({{"timeouts", {{"attempt", text}}}}));
    check(bw::client_options_from_json({{text, text}}));
    return 0;
}
