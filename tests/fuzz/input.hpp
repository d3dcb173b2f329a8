#pragma once

#include <breakwater/http/headers.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <source_location>
#include <string>
#include <string_view>

namespace fuzz {

/// What holds for every input. Else the program ends, and the fuzzer keeps the input.
inline void require(bool holds, const char* property,
                    const std::source_location& where = std::source_location::current()) {
    if (holds) return;
    std::fprintf(stderr, "%s:%u: violated: %s\n", where.file_name(), static_cast<unsigned>(where.line()), property);
    std::abort();
}

/// The bytes of one run, eaten from the front; zeros when they are used up.
class Input {
public:
    Input(const std::uint8_t* data, std::size_t size) : rest_{reinterpret_cast<const char*>(data), size} {}

    bool empty() const { return rest_.empty(); }
    std::string_view rest() const { return rest_; }

    template <class T>
    T take() {
        T value{};
        const std::size_t size = std::min(sizeof value, rest_.size());
        std::memcpy(&value, rest_.data(), size);
        rest_.remove_prefix(size);
        return value;
    }
    /// From `least` to `most`.
    template <class T>
    T take_in(T least, T most) {
        const auto span = static_cast<std::uint64_t>(most - least) + 1;
        const auto value = span <= 256 ? take<std::uint8_t>() : take<std::uint64_t>();
        return static_cast<T>(static_cast<std::uint64_t>(least) + (span == 0 ? value : value % span));
    }
    /// Up to the next line end, without it.
    std::string_view take_line() {
        const std::string_view line = rest_.substr(0, rest_.find('\n'));
        rest_.remove_prefix(std::min(line.size() + 1, rest_.size()));
        return line;
    }
    /// The rest as header lines, "Name: value".
    breakwater::Headers take_headers() {
        breakwater::Headers headers;
        while (!empty()) {
            const std::string_view line = take_line();
            const std::size_t colon = std::min(line.find(':'), line.size());
            headers.add(std::string{line.substr(0, colon)}, std::string{line.substr(std::min(colon + 1, line.size()))});
        }
        return headers;
    }

private:
    std::string_view rest_;
};

}  // namespace fuzz

// libFuzzer calls it.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
