#pragma once

#include <breakwater/detail/base64.hpp>
#include <breakwater/http/headers.hpp>
#include <breakwater/http/redact.hpp>

#include <string>
#include <variant>

namespace breakwater {

/// `Authorization: Bearer TOKEN` (RFC 6750).
struct Bearer {
    std::string token{};
};
/// `Authorization: Basic …` (RFC 7617).
struct Basic {
    std::string user{};
    std::string password{};
};
/// A credential in a header of its own, such as `X-Api-Key`.
struct HeaderAuth {
    std::string name{};
    std::string value{};
};
/// How the client proves who it is; sent to its own origin only. Default: not at all.
using Auth = std::variant<std::monostate, Bearer, Basic, HeaderAuth>;

/// Sets the header that carries the credential, if there is one.
inline void add_credential(Headers& headers, const Auth& auth) {
    if (const auto* bearer = std::get_if<Bearer>(&auth)) {
        headers.set("Authorization", "Bearer " + bearer->token);
    } else if (const auto* basic = std::get_if<Basic>(&auth)) {
        headers.set("Authorization", "Basic " + detail::base64(basic->user + ":" + basic->password));
    } else if (const auto* header = std::get_if<HeaderAuth>(&auth)) {
        headers.set(header->name, header->value);
    }
}

/// Makes the secrets in a client's options known.
inline void learn_secrets(Redaction& redaction, const RedactionOptions& options, const Headers& headers,
                          const Auth& auth) {
    for (const std::string& value : options.values) redaction.learn(value);
    redaction.learn(headers);
    Headers credential;
    add_credential(credential, auth);
    redaction.learn(credential);
    if (const auto* basic = std::get_if<Basic>(&auth)) redaction.learn(basic->password);
    if (const auto* header = std::get_if<HeaderAuth>(&auth)) redaction.learn(header->value);
}
/// What a client keeps out of its words.
inline Redaction redaction_of(const RedactionOptions& options, const Headers& headers, const Auth& auth) {
    Redaction redaction{options};
    learn_secrets(redaction, options, headers, auth);
    return redaction;
}

}  // namespace breakwater
