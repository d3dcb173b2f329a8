#pragma once

#include <breakwater/client/json_reader.hpp>
#include <breakwater/client/secret.hpp>
#include <breakwater/result.hpp>
#include <breakwater/transport/curl/options.hpp>

#include <nlohmann/json.hpp>

#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace breakwater {

namespace detail {

/// A proxy's URL; one with a password in it is a secret.
template <class Json>
void read_proxy(const JsonReader<Json>& reader, std::optional<std::string>& proxy) {
    const auto& value = reader.value();
    const bool is_text = value.is_string();
    if (is_text && value.template get_ref<const std::string&>().find('@') == std::string::npos)
        reader.read(proxy);
    else if (is_text || value.is_object())
        read_secret(reader, proxy.emplace());
    else
        reader.wrong_type("a URL or a reference to one");
}

/// Calls `member(key, into)` for each option.
template <class Json, class Member>
void read_curl_options(const Member& member, CurlOptions& options) {
    using Reader = JsonReader<Json>;
    member("http_version", [&](const Reader& own) {
        own.read_word(options.http_version, {{"automatic", HttpVersion::automatic},
                                             {"http1_1", HttpVersion::http1_1},
                                             {"http2_prior_knowledge", HttpVersion::http2_prior_knowledge}});
    });
    member("tls_verification", [&](const Reader& own) {
        own.read_word(options.tls_verification, {{"full", TlsVerification::full}, {"none", TlsVerification::none}});
    });
    member("ca_file", options.ca_file);
    member("ca_directory", options.ca_directory);
    member("min_tls_version", [&](const Reader& own) {
        own.read_word(options.min_tls_version, {{"tls1_2", TlsVersion::tls1_2}, {"tls1_3", TlsVersion::tls1_3}});
    });
    member("client_certificate", [&](const Reader& own) {
        own.object([&](const auto& part) {
            ClientCertificate& certificate = options.client_certificate;
            part("certificate_file", certificate.certificate_file);
            part("key_file", certificate.key_file);
            part("key_password", [&](const Reader& password) { read_secret(password, certificate.key_password); });
        });
    });
    member("proxy", [&](const Reader& own) { read_proxy(own, options.proxy); });
    member("no_proxy", options.no_proxy);
    member("unix_socket", options.unix_socket);
    member("user_agent", options.user_agent);
    member("max_idle", options.max_idle);
    member("max_connections_per_host", options.max_connections_per_host);
    member("max_connections", options.max_connections);
    member("max_idle_time", options.max_idle_time);
    member("max_header_bytes", [&](const Reader& own) { own.read_size(options.max_header_bytes); });
}

}  // namespace detail

/// A `CurlTransport`'s options, from the section "transport" of the configuration whose other keys are
/// `client_options_from_json`'s; that one skips the section, and this one skips the rest:
///
///     const auto json = nlohmann::json::parse(
///         R"({"name": "dairy", "base_url": "https://api.example.com", "transport": {"ca_file": "/etc/dairy.pem"}})");
///     bw::ResilientClient client{bw::value_or_throw(bw::client_options_from_json(json)),
///                                bw::CurlTransport{bw::value_or_throw(bw::curl_options_from_json(json))}};
///
/// Keys, forms and errors are as there; without the section all options keep their defaults. The password of a key is a
/// reference (`{"env": "NAME"}` or `{"file": "PATH"}`), and so is the URL of a proxy that has one. Reads environment
/// variables and files.
template <class Json = nlohmann::json>
Result<CurlOptions> curl_options_from_json(const std::type_identity_t<Json>& json) {
    using detail::JsonReader;
    CurlOptions options;
    std::vector<std::string> mistakes;
    const JsonReader<Json> root{json, "", mistakes};
    if (!json.is_object()) {
        root.wrong_type("an object");
        return detail::mistaken(mistakes);
    }
    // A section given without its frame would be skipped whole.
    const auto is_misplaced = [&](std::string_view key, const auto&) {
        const auto found = json.find(std::string{key});
        if (found != json.end()) root.member(key, *found).mistake("must stand in the section \"transport\"");
    };
    detail::read_curl_options<Json>(is_misplaced, options);
    if (const auto section = json.find("transport"); section != json.end()) {
        const JsonReader<Json> own = root.member("transport", *section);
        const bool read = own.object([&](const auto& member) { detail::read_curl_options<Json>(member, options); });
        if (read) own.check(options);
    }
    if (mistakes.empty()) return options;
    return detail::mistaken(mistakes);
}

}  // namespace breakwater
