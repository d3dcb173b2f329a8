#pragma once

#include <openssl/evp.h>

#include <array>
#include <string>
#include <string_view>
#include <utility>

namespace breakwater::redis {

/// A Lua script that runs at the server, and the name the server knows it by.
class Script {
public:
    explicit Script(std::string text) : text_{std::move(text)}, sha1_{digest(text_)} {}

    const std::string& text() const noexcept { return text_; }
    /// The SHA-1 of the text in hexadecimal, as EVALSHA takes it.
    const std::string& sha1() const noexcept { return sha1_; }

private:
    static std::string digest(std::string_view text) {
        std::array<unsigned char, EVP_MAX_MD_SIZE> bytes{};
        unsigned length = 0;
        EVP_Digest(text.data(), text.size(), bytes.data(), &length, EVP_sha1(), nullptr);
        std::string hex;
        for (unsigned i = 0; i < length; ++i) {
            hex += "0123456789abcdef"[bytes[i] >> 4];
            hex += "0123456789abcdef"[bytes[i] & 15];
        }
        return hex;
    }

    std::string text_;
    std::string sha1_;
};

}  // namespace breakwater::redis
