#pragma once

#include <breakwater/digest/fields.hpp>
#include <breakwater/digest/given_digest.hpp>
#include <breakwater/digest/hash.hpp>
#include <breakwater/http/file_check.hpp>
#include <breakwater/http/response.hpp>
#include <breakwater/result.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace breakwater {

/// Holds a file to the digests that the answers name: see `server_digest`.
class ServerDigest final : public FileCheck {
public:
    Result<void> begin(const Response& answer, std::uint64_t from, const ReadAgain& earlier) override {
        const bool is_encoded = answer.headers.contains("Content-Encoding");  // they are of what was encoded
        const bool is_part = answer.status == 206;
        auto content = is_encoded ? std::nullopt : digest_of_content(answer.headers);
        // A part that begins the file is one that the caller has asked for: the whole is not what he gets.
        auto whole = is_encoded || (is_part && from == 0) ? std::nullopt : digest_of_whole(answer.headers);
        if (from == 0) {
            content_.expect({});
            whole_.expect(whole ? std::move(whole) : std::move(content));
            return {};
        }
        content_.expect(std::move(content));
        const bool knows_earlier = whole_.taken == from;
        if (!whole && knows_earlier) return {};
        if (whole && knows_earlier && whole_.hash && whole_.hash->algorithm() == whole->algorithm) {
            whole_.expected = std::move(whole);
            return {};
        }
        whole_.expect(std::move(whole));
        whole_.taken = from;
        if (!whole_.hash) return {};
        return earlier([this](std::string_view bytes) { whole_.hash->take(bytes); });
    }
    void take(std::string_view bytes) override {
        whole_.take(bytes);
        content_.take(bytes);
    }
    Result<void> end() override {
        auto judged = content_.end();
        auto of_whole = whole_.end();
        return judged ? of_whole : judged;
    }

private:
    struct Part {
        std::optional<NamedDigest> expected{};
        std::optional<Hash> hash{};
        std::uint64_t taken = 0;

        void expect(std::optional<NamedDigest> digest) {
            expected = std::move(digest);
            hash.reset();
            if (expected) hash.emplace(expected->algorithm);
            taken = 0;
        }
        void take(std::string_view bytes) {
            if (hash) hash->take(bytes);
            taken += bytes.size();
        }
        Result<void> end() {
            if (!hash) return {};
            const std::string actual = hash->end(DigestText::base64);
            hash.reset();
            if (actual == expected->base64) return {};
            std::string what{expected->field};
            what.append(" ").append(to_string(expected->algorithm));
            return detail::mismatch(what, expected->base64, actual);
        }
    };

    Part whole_;    // the file
    Part content_;  // what the last answer holds, if it names a digest of that which is not the file's
};

/// For `DownloadOptions::verify`: the digest in the answer's own `Repr-Digest` or `Content-Digest` (RFC 9530), `Digest`
/// (RFC 3230) or `Content-MD5`, the strongest of SHA-512, SHA-256 and MD5 that it names. It guards against damage on
/// the way, not against the service. An answer that names none is taken as it is, and so is one with a content coding,
/// since that is what the digest would be of. Trailers are not read. Where another process has begun the file, and
/// where a resumed answer names another algorithm, what is there is read again.
inline MakeFileCheck server_digest() {
    return [] { return std::make_unique<ServerDigest>(); };
}

}  // namespace breakwater
