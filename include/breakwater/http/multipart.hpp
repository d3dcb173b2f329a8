#pragma once

#include <breakwater/detail/search.hpp>
#include <breakwater/http/body.hpp>
#include <breakwater/http/detail/characters.hpp>
#include <breakwater/http/file_body.hpp>
#include <breakwater/result.hpp>
#include <breakwater/uuid.hpp>

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace breakwater {

/// One part of a `Multipart`: a field, or a file if it has a filename.
struct Part {
    std::string name{};  ///< Not empty.
    Body body{};
    std::optional<std::string> filename{};
    /// Default: none for a field, `application/octet-stream` for a file.
    std::string content_type{};
};

/// The parts of a multipart/form-data body (RFC 7578), in order:
/// `Multipart{{.name = "note", .body = "hi"}, file_part("photo", "cat.jpg", "image/jpeg")}`.
using Multipart = std::vector<Part>;

/// A file as a part, called what its path ends in; read while it is sent.
inline Part file_part(std::string name, const std::filesystem::path& path, std::string content_type = {}) {
    return {.name = std::move(name),
            .body = from_file(path),
            .filename = path.filename().string(),
            .content_type = std::move(content_type)};
}

namespace detail {

/// A name or filename in quotes, so that nothing in it ends the quotes or the line (WHATWG HTML, "multipart/form-data
/// encoding algorithm").
inline std::string quote_for_multipart(std::string_view text) {
    std::string quoted{'"'};
    for (const char c : text) {
        switch (c) {
            case '"': quoted += "%22"; break;
            case '\r': quoted += "%0D"; break;
            case '\n': quoted += "%0A"; break;
            default: quoted += c;
        }
    }
    return quoted += '"';
}

}  // namespace detail

/// A multipart body and the Content-Type that names its boundary.
struct EncodedMultipart {
    std::string content_type{};
    Body body{};
};

/// The parts as one body, which can be sent again if all of them can. The boundary is random and in none of the parts
/// that are bytes; that one of 122 random bits stands in a file is not looked for. `Errc::invalid_request` for a part
/// without a name, or with a content type that no header may hold.
inline Result<EncodedMultipart> encode(const Multipart& parts) {
    for (std::size_t i = 0; i < parts.size(); ++i) {
        const std::string at = "multipart[" + std::to_string(i) + "].";
        if (parts[i].name.empty()) return fail(Errc::invalid_request, at + "name: must not be empty");
        if (!detail::are_all_in_class(parts[i].content_type, detail::value_character))
            return fail(Errc::invalid_request, at + "content_type: holds CR, LF, NUL or another control");
    }
    std::string boundary;
    do {
        boundary = "breakwater-" + make_uuid();
    } while (detail::any_of(parts, [&](const Part& part) {
        return part.body.text().find(boundary) != std::string::npos || part.name.find(boundary) != std::string::npos ||
               (part.filename && part.filename->find(boundary) != std::string::npos);
    }));

    std::vector<Body> pieces;
    std::string head;  // what comes before the next part that is read
    for (const Part& part : parts) {
        head += "--" + boundary + "\r\nContent-Disposition: form-data; name=" + detail::quote_for_multipart(part.name);
        if (part.filename) head += "; filename=" + detail::quote_for_multipart(*part.filename);
        head += "\r\n";
        const bool is_plain_file = part.filename && part.content_type.empty();
        const std::string_view type = is_plain_file ? "application/octet-stream" : std::string_view{part.content_type};
        if (!type.empty()) head.append("Content-Type: ").append(type).append("\r\n");
        head += "\r\n";
        if (part.body.is_text()) {
            head += part.body.text();
        } else {
            pieces.push_back(std::exchange(head, {}));
            pieces.push_back(part.body);
        }
        head += "\r\n";
    }
    head += "--" + boundary + "--\r\n";
    Body body = std::move(head);
    if (!pieces.empty()) {
        pieces.push_back(std::move(body));
        body = Body::joined(std::move(pieces));
    }
    return EncodedMultipart{"multipart/form-data; boundary=" + boundary, std::move(body)};
}

}  // namespace breakwater
