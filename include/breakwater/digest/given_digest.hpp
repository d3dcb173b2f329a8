#pragma once

#include <breakwater/digest/hash.hpp>
#include <breakwater/http/detail/characters.hpp>
#include <breakwater/http/file_check.hpp>
#include <breakwater/result.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace breakwater {

namespace detail {

/// `Errc::digest_mismatch` in words.
inline std::unexpected<Error> mismatch(std::string_view what, std::string_view expected, std::string_view actual) {
    std::string words{what};
    words.append(": expected ").append(expected).append(", got ").append(actual);
    return fail(Errc::digest_mismatch, std::move(words));
}

}  // namespace detail

/// Holds a file to a digest that the caller knows.
class GivenDigest final : public FileCheck {
public:
    GivenDigest(DigestAlgorithm algorithm, std::string hex) : hash_{algorithm}, expected_{std::move(hex)} {}

    Result<void> begin(const Response&, std::uint64_t from, const ReadAgain& earlier) override {
        if (from == taken_) return {};
        hash_.begin();
        taken_ = from;
        return from == 0 ? Result<void>{} : earlier([this](std::string_view bytes) { hash_.take(bytes); });
    }
    void take(std::string_view bytes) override {
        hash_.take(bytes);
        taken_ += bytes.size();
    }
    Result<void> end() override {
        const std::string actual = hash_.end(DigestText::hex);
        hash_.begin();
        taken_ = 0;
        if (actual == expected_) return {};
        return detail::mismatch(to_string(hash_.algorithm()), expected_, actual);
    }

private:
    Hash hash_;
    std::string expected_;
    std::uint64_t taken_ = 0;
};

namespace detail {

inline MakeFileCheck given_digest(DigestAlgorithm algorithm, std::string_view hex, std::size_t digits) {
    std::string text{hex};
    std::ranges::transform(text, text.begin(), to_lower);
    if (text.size() != digits || std::ranges::any_of(text, [](char c) { return hex_value(c) < 0; }))
        throw_error(Error{Errc::invalid_options, std::string{to_string(algorithm)} + ": must be " +
                                                     std::to_string(digits) + " hexadecimal digits"});
    return [algorithm, text = std::move(text)] { return std::make_unique<GivenDigest>(algorithm, text); };
}

}  // namespace detail

/// For `DownloadOptions::verify`: the file's SHA-256. Throws `Exception` (`invalid_options`) unless it is given as 64
/// hexadecimal digits.
inline MakeFileCheck sha256(std::string_view hex) { return detail::given_digest(DigestAlgorithm::sha_256, hex, 64); }
/// The file's SHA-512, as 128 digits.
inline MakeFileCheck sha512(std::string_view hex) { return detail::given_digest(DigestAlgorithm::sha_512, hex, 128); }

}  // namespace breakwater
