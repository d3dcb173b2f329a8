#pragma once

#include <breakwater/client/auth.hpp>
#include <breakwater/client/request_options.hpp>
#include <breakwater/http/detail/characters.hpp>
#include <breakwater/http/headers.hpp>
#include <breakwater/http/redirect.hpp>
#include <breakwater/http/request.hpp>
#include <breakwater/http/target.hpp>
#include <breakwater/http/url.hpp>
#include <breakwater/result.hpp>
#include <breakwater/uuid.hpp>
#include <breakwater/version.hpp>

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace breakwater {

/// What is called, for messages: "GET /inventory". Holds no query, no host and no path parameter's value.
inline std::string subject_of(const Method& method, std::string_view target) {
    target = detail::without_query(target);
    if (const auto authority = target.find("://"); authority != target.npos) {
        const auto slash = target.find('/', authority + 3);
        target = slash == target.npos ? std::string_view{"/"} : target.substr(slash);
    }
    std::string subject;
    subject.reserve(method.name().size() + 1 + target.size());
    subject.append(method.name()).append(" ").append(target);
    for (char& c : std::span{subject}.last(target.size()))
        if (c <= ' ' || c >= '\x7f') c = '?';
    return subject;
}

/// Whether the request may reach the service twice: an idempotent method (RFC 9110 §9.2.2) or an Idempotency-Key.
inline bool is_resendable(const Request& request) {
    return request.method.is_idempotent() || request.headers.contains("Idempotency-Key");
}

/// Makes requests out of targets: what is the same for every request of a client is worked out once. Needs options that
/// `validate` accepts.
class RequestPreparation {
public:
    RequestPreparation(const std::string& base_url, const Headers& headers, const Auth& auth) : headers_{headers} {
        if (!base_url.empty()) {
            base_ = value_or_throw(Url::parse(base_url));
            prefix_ = value_or_throw(join_target(*base_, "/x"));
            prefix_.resize(prefix_.size() - 2);
        }
        if (!headers_.contains("User-Agent")) headers_.add("User-Agent", "breakwater/" BREAKWATER_VERSION_STRING);
        impersonal_ = detail::impersonal(headers_);  // without a credential, whatever its header's name
        add_credential(headers_, auth);
        if (const auto* header = std::get_if<HeaderAuth>(&auth)) credential_headers_.push_back(header->name);
    }

    /// The headers, beside Authorization and Cookie, that tell callers apart.
    const std::vector<std::string>& credential_headers() const noexcept { return credential_headers_; }

    /// Fills in URL, headers and body. `request` brings its method, and headers and body of its own if it has any.
    template <class Json = nlohmann::json>
    Result<void> prepare(Request& request, std::string_view target, const RequestOptions& options) const {
        const auto bad = [](std::string message) { return fail(Errc::invalid_request, std::move(message)); };
        if (options.timeout && *options.timeout <= Duration{0}) return bad("timeout: must be > 0s");
        if (options.deadline && *options.deadline <= Duration{0}) return bad("deadline: must be > 0s");
        if (auto ok = resolve(request, target, options); !ok) return ok;

        const bool is_own = !request.headers.empty() || !options.headers.empty();
        Headers own = std::exchange(request.headers, options.anonymous ? impersonal_ : headers_);
        override_by(request.headers, own);
        override_by(request.headers, options.headers);
        if (!options.json.is_discarded() || options.body || !options.form.empty() || !options.multipart.empty()) {
            if (auto ok = fill_body<Json>(request, options); !ok) return ok;
        }
        if (const std::string* key = options.idempotency_key.given()) {
            if (key->empty()) return bad("idempotency_key: must not be empty");
            request.headers.set("Idempotency-Key", *key);
        } else if (options.idempotency_key.is_auto() && !request.headers.contains("Idempotency-Key")) {
            request.headers.set("Idempotency-Key", make_uuid());
        }
        const bool checked = !is_own && options.idempotency_key.given() == nullptr && request.method.is_valid();
        return checked ? Result<void>{} : validate(request);
    }

private:
    template <class Json>
    [[gnu::noinline]] static Result<void> fill_body(Request& request, const RequestOptions& options) {
        std::string_view first;
        for (const auto& [kind, is_given] : {std::pair{"json", !options.json.is_discarded()},
                                             {"form", !options.form.empty()},
                                             {"multipart", !options.multipart.empty()},
                                             {"body", options.body.has_value()}}) {
            if (!is_given) continue;
            if (!first.empty()) return fail(Errc::invalid_request, std::string{first} + " and " + kind + ": give one");
            first = kind;
        }
        const auto fill = [&](Body body, std::string type) {
            request.body = std::move(body);
            if (!request.headers.contains("Content-Type")) request.headers.add("Content-Type", std::move(type));
        };
        if (options.body) {
            request.body = options.body;
        } else if (!options.form.empty()) {
            fill(form_text(options.form), "application/x-www-form-urlencoded");
        } else if (!options.multipart.empty()) {
            auto encoded = encode(options.multipart);
            if (!encoded) return fail(std::move(encoded.error()));
            request.body = std::move(encoded->body);
            request.headers.set("Content-Type", std::move(encoded->content_type));  // it names the boundary
        } else {
            const Json& document = options.json;
            fill(document.dump(-1, ' ', false, Json::error_handler_t::replace), "application/json");
        }
        return {};
    }

    Result<void> resolve(Request& request, std::string_view target, const RequestOptions& options) const {
        if (base_ && options.path.empty() && is_plain(target)) {  // nothing in it to check, fold or encode
            request.url.reserve(prefix_.size() + target.size() + (options.query.empty() ? 0 : 64));
            request.url.append(prefix_).append(target);
            if (!options.query.empty()) options.query.append_to(request.url += '?');
            return {};
        }
        const bool goes_anywhere = options.anonymous && !target.starts_with('/');
        if (base_ && !goes_anywhere) {
            auto url = join_target(*base_, target, options.query, options.path);
            if (!url) return fail(std::move(url.error()));
            request.url = *std::move(url);
            return {};
        }
        const auto url = Url::parse(target);
        if (!url) {
            return fail(Errc::invalid_request,
                        "target: " + std::string{goes_anywhere ? "" : "the client has no base_url, so it "} +
                            "must be an absolute URL (" + std::string{url.error().detail()} + ")");
        }
        auto joined = join_target(*url, target, options.query, options.path);
        if (!joined) return fail(std::move(joined.error()));
        request.url = *std::move(joined);
        return {};
    }

    /// Segments of letters, digits, "-", "_" and "~" only.
    static constexpr bool is_plain(std::string_view target) noexcept {
        char before = 0;
        for (const char c : target) {
            const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
            if (!letter && c != '-' && c != '_' && c != '~' && (c != '/' || before == '/')) return false;
            before = c;
        }
        return target.starts_with('/');
    }

    static void override_by(Headers& headers, const Headers& own) {
        for (const Header& header : own) headers.remove(header.name);
        for (const Header& header : own) headers.add(header.name, header.value);
    }

    std::optional<Url> base_;
    std::string prefix_;  // the base as it stands in every URL, without a slash at its end
    Headers headers_;
    Headers impersonal_;  // of these, what an anonymous request sends
    std::vector<std::string> credential_headers_;
};

}  // namespace breakwater
