#pragma once

#include <breakwater/digest/hash.hpp>
#include <breakwater/http/detail/characters.hpp>
#include <breakwater/http/detail/structured_field.hpp>
#include <breakwater/http/headers.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace breakwater {

/// A digest that an answer names.
struct NamedDigest {
    DigestAlgorithm algorithm = DigestAlgorithm::sha_256;
    std::string base64{};
    std::string_view field{};  ///< Which header names it: a literal.
    friend bool operator==(const NamedDigest&, const NamedDigest&) = default;
};

namespace detail {

constexpr std::size_t digest_size(DigestAlgorithm algorithm) noexcept {
    return algorithm == DigestAlgorithm::sha_512 ? 64 : algorithm == DigestAlgorithm::sha_256 ? 32 : 16;
}

/// With the padding that it may lack (RFC 9651 §4.2.7); nullopt if it is no digest of this kind.
inline std::optional<std::string> padded_digest(std::string_view text, DigestAlgorithm algorithm) {
    text = text.substr(0, text.find('='));
    const auto is_digit = [](char c) { return is_alpha(c) || detail::is_digit(c) || c == '+' || c == '/'; };
    const std::size_t size = digest_size(algorithm);
    if (text.size() != (size * 8 + 5) / 6 || !std::ranges::all_of(text, is_digit)) return std::nullopt;
    return std::string{text}.append((size + 2) / 3 * 4 - text.size(), '=');
}

/// Keeps the strongest of the digests that it is told.
class StrongestDigest {
public:
    explicit StrongestDigest(std::string_view field) noexcept : field_{field} {}
    void tell(std::string_view algorithm, std::string_view text) {
        using enum DigestAlgorithm;
        for (const DigestAlgorithm known : {sha_512, sha_256, md5}) {
            if (!equals_ignoring_case(algorithm, to_string(known)) || (found_ && found_->algorithm <= known)) continue;
            if (auto base64 = padded_digest(text, known)) found_ = NamedDigest{known, *std::move(base64), field_};
        }
    }
    std::optional<NamedDigest> found() { return std::move(found_); }

private:
    std::string_view field_;
    std::optional<NamedDigest> found_;
};

/// `Content-Digest` and `Repr-Digest`: dictionaries of byte sequences (RFC 9530 §2, §3). One that is wrong says
/// nothing.
inline std::optional<NamedDigest> structured_digest(const Headers& headers, std::string_view field) {
    StrongestDigest strongest{field};
    for (const std::string_view value : headers.get_all(field)) {
        StructuredFieldReader reader{value};
        while (const auto member = reader.take_member()) {
            if (member->value && member->value->kind == FieldItem::Kind::bytes)
                strongest.tell(member->item.text, member->value->text);
        }
        if (reader.failed()) return std::nullopt;
    }
    return strongest.found();
}

/// `Digest` (RFC 3230 §4.3.2): "SHA-256=base64,md5=base64".
inline std::optional<NamedDigest> instance_digest(const Headers& headers) {
    StrongestDigest strongest{"Digest"};
    for (std::string_view rest : headers.get_all("Digest")) {
        while (!rest.empty()) {
            const std::string_view member = rest.substr(0, rest.find(','));
            rest.remove_prefix(std::min(member.size() + 1, rest.size()));
            if (const auto equals = member.find('='); equals != member.npos)
                strongest.tell(trim(member.substr(0, equals)), trim(member.substr(equals + 1)));
        }
    }
    return strongest.found();
}

}  // namespace detail

/// The digest of the whole representation: `Repr-Digest`, else `Digest`.
inline std::optional<NamedDigest> digest_of_whole(const Headers& headers) {
    auto named = detail::structured_digest(headers, "Repr-Digest");
    return named ? named : detail::instance_digest(headers);
}

/// The digest of what this answer holds of it: `Content-Digest`, else `Content-MD5` (RFC 1864).
inline std::optional<NamedDigest> digest_of_content(const Headers& headers) {
    if (auto named = detail::structured_digest(headers, "Content-Digest")) return named;
    detail::StrongestDigest own{"Content-MD5"};
    if (const auto value = headers.get("Content-MD5")) own.tell("md5", detail::trim(*value));
    return own.found();
}

}  // namespace breakwater
