#pragma once

#include <breakwater/client/json_reader.hpp>
#include <breakwater/detail/search.hpp>

#include <cstddef>
#include <cstdlib>
#include <fstream>
#include <ios>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace breakwater::detail {

inline bool is_variable_name(std::string_view text) {
    return !text.empty() && all_of(text, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
    });
}

/// What a file holds, without the line ends at its end; nullopt if it is empty, cannot be read or is larger than any
/// credential.
inline std::optional<std::string> read_secret_file(const std::string& name) {
    std::string text(std::size_t{64} << 10, '\0');
    std::ifstream in{name, std::ios::binary};
    if (!in.read(text.data(), static_cast<std::streamsize>(text.size())).eof()) return std::nullopt;
    text.resize(static_cast<std::size_t>(in.gcount()));
    while (text.ends_with('\n') || text.ends_with('\r')) text.pop_back();
    return text.empty() ? std::nullopt : std::optional{std::move(text)};
}

/// A secret by reference: `{"env": "NAME"}` or `{"file": "PATH"}`. A secret written out is refused and not repeated.
template <class Json>
void read_secret(const JsonReader<Json>& reader, std::string& secret) {
    if (!reader.value().is_object()) {
        return reader.mistake(
            "a secret must not stand in the configuration; refer to it as {\"env\": \"NAME\"} or "
            "{\"file\": \"PATH\"}");
    }
    std::optional<std::string> variable;
    std::optional<std::string> file;
    const bool read = reader.object([&](const auto& member) {
        member("env", variable);
        member("file", file);
    });
    if (!read) return;
    if (variable.has_value() == file.has_value()) return reader.mistake("must have either \"env\" or \"file\"");
    if (variable) {  // a text that is no name may be the secret itself
        if (!is_variable_name(*variable)) return reader.mistake("\"env\" must be the name of an environment variable");
        const char* value = std::getenv(variable->c_str());
        if (value == nullptr) return reader.mistake("the environment variable " + *variable + " is not set");
        if (*value == '\0') return reader.mistake("the environment variable " + *variable + " is empty");
        secret = value;
        return;
    }
    if (auto text = read_secret_file(*file))
        secret = *std::move(text);
    else
        reader.mistake("the file " + excerpt(*file) + " cannot be read, is empty or is larger than 64 KiB");
}

}  // namespace breakwater::detail
