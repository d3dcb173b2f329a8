#pragma once

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace breakwater::redis {

/// What keeps a fleet's secrets from those who can read or write its store: keys are replaced by their HMAC-SHA256 (RFC
/// 2104), and values carry one, made with the key they are kept under, so that none can be forged, nor moved to another
/// key.
class Seal {
public:
    explicit Seal(std::string secret) : secret_{std::move(secret)} {}
    ~Seal() { OPENSSL_cleanse(secret_.data(), secret_.size()); }
    Seal(const Seal&) = delete;
    Seal& operator=(const Seal&) = delete;

    /// Whether there is a secret; nothing may be sealed without.
    explicit operator bool() const noexcept { return !secret_.empty(); }

    /// What a key is called in the store.
    std::string key(std::string_view name) const { return hex(mac("key", name, {})); }
    /// A value as it is kept under `key`.
    std::string seal(std::string_view key, std::string_view value) const {
        return std::string{mac("value", key, value)}.append(value);
    }
    /// The value, if it was sealed for this key with this secret.
    std::optional<std::string> open(std::string_view key, std::string_view sealed) const {
        if (sealed.size() < size) return {};
        const std::string_view value = sealed.substr(size);
        const std::string expected = mac("value", key, value);
        if (CRYPTO_memcmp(expected.data(), sealed.data(), size) != 0) return {};
        return std::string{value};
    }

private:
    static constexpr std::size_t size = 32;

    std::string mac(std::string_view purpose, std::string_view key, std::string_view value) const {
        std::string text;
        for (const std::string_view part : {purpose, key})
            text.append(std::to_string(part.size())).append(":").append(part);
        text.append(value);
        std::array<unsigned char, EVP_MAX_MD_SIZE> bytes{};
        unsigned length = 0;
        HMAC(EVP_sha256(), secret_.data(), static_cast<int>(secret_.size()),
             reinterpret_cast<const unsigned char*>(text.data()), text.size(), bytes.data(), &length);
        return {reinterpret_cast<const char*>(bytes.data()), size};
    }
    static std::string hex(std::string_view bytes) {
        std::string text;
        for (const char c : bytes) {
            text += "0123456789abcdef"[static_cast<unsigned char>(c) >> 4];
            text += "0123456789abcdef"[static_cast<unsigned char>(c) & 15];
        }
        return text;
    }

    std::string secret_;
};

}  // namespace breakwater::redis
