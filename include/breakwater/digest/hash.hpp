#pragma once

#include <breakwater/detail/base64.hpp>

#include <openssl/evp.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <string>
#include <string_view>

namespace breakwater {

/// A hash function that digests are made with; named as in digest fields.
enum class DigestAlgorithm : std::uint8_t {
    sha_512,
    sha_256,
    md5,  ///< Tells damage, not forgery.
};

constexpr std::string_view to_string(DigestAlgorithm algorithm) noexcept {
    switch (algorithm) {
        case DigestAlgorithm::sha_512: return "sha-512";
        case DigestAlgorithm::sha_256: return "sha-256";
        case DigestAlgorithm::md5: return "md5";
    }
    return "unknown";
}

/// How a digest is written.
enum class DigestText : std::uint8_t { hex, base64 };

/// A digest of bytes as they come, by libcrypto. Throws `std::bad_alloc` where that has no memory, or (FIPS) no such
/// algorithm.
class Hash {
public:
    explicit Hash(DigestAlgorithm algorithm) : algorithm_{algorithm}, context_{EVP_MD_CTX_new()} { begin(); }

    DigestAlgorithm algorithm() const noexcept { return algorithm_; }

    void begin() {
        const EVP_MD* const kind = algorithm_ == DigestAlgorithm::sha_512   ? EVP_sha512()
                                   : algorithm_ == DigestAlgorithm::sha_256 ? EVP_sha256()
                                                                            : EVP_md5();
        check(context_ && EVP_DigestInit_ex(context_.get(), kind, nullptr) == 1);
    }
    void take(std::string_view bytes) { check(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) == 1); }

    /// The digest of all since `begin`, which has to come next.
    std::string end(DigestText form) {
        std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
        unsigned size = 0;
        check(EVP_DigestFinal_ex(context_.get(), digest.data(), &size) == 1);
        const std::string_view bytes{reinterpret_cast<const char*>(digest.data()), size};
        return form == DigestText::base64 ? detail::base64(bytes) : hex(bytes);
    }

private:
    struct Free {
        void operator()(EVP_MD_CTX* context) const noexcept { EVP_MD_CTX_free(context); }
    };
    static void check(bool good) {
        if (!good) throw std::bad_alloc{};
    }
    static std::string hex(std::string_view bytes) {
        constexpr std::string_view digits = "0123456789abcdef";
        std::string text;
        for (const char c : bytes) {
            const auto byte = static_cast<unsigned char>(c);
            text.append({digits[byte >> 4], digits[byte & 15U]});
        }
        return text;
    }

    DigestAlgorithm algorithm_;
    std::unique_ptr<EVP_MD_CTX, Free> context_;
};

}  // namespace breakwater
