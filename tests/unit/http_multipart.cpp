#include <breakwater/http/form.hpp>
#include <breakwater/http/multipart.hpp>

#include <catch_shim.hpp>
#include <unit/scripted_client.hpp>

#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <unistd.h>

namespace bw = breakwater;
using bw::Errc;
using bw::Error;
using bw::Response;
using bw::ScriptedTransport;

namespace {

auto client(ScriptedTransport service) {
    return bw::ResilientClient{bw::ClientOptions{.name = "forms",
                                                 .base_url = "http://service.test",
                                                 .retry = {.backoff = {.base = std::chrono::milliseconds{1}}}},
                               std::move(service)};
}

std::string boundary_of(const bw::Request& request) {
    const std::string type{request.headers.get("Content-Type").value()};
    return type.substr(type.find("boundary=") + 9);
}

/// Of a body that is bytes.
std::string encoded(const bw::Multipart& parts) { return bw::encode(parts).value().body.text(); }

}  // namespace

TEST_CASE("a form is encoded as HTML does it") {
    CHECK(bw::form_text({{"q", "gelato & more"}, {"n", 7}, {"%20", "a+b=c"}, {"e", ""}}) ==
          "q=gelato+%26+more&n=7&%2520=a%2Bb%3Dc&e=");
    CHECK(bw::form_text({{"name", "J\xC3\xBCrg\r\n"}}) == "name=J%C3%BCrg%0D%0A");
    CHECK(bw::form_text({{"  ", " "}}) == "++=+");
}

TEST_CASE("a form is sent with its content type, unless the call names another") {
    const auto service = ScriptedTransport::always(Response{.status = 200});
    REQUIRE(client(service).post("/x", {.form = {{"a", "1 2"}}}));
    REQUIRE(client(service).post("/x", {.headers = {{"Content-Type", "text/x-form"}}, .form = {{"a", 1}}}));
    CHECK(service.requests()[0].body == "a=1+2");
    CHECK(service.requests()[0].headers.get("Content-Type") == "application/x-www-form-urlencoded");
    CHECK(service.requests()[1].headers.get_all("Content-Type") == std::vector<std::string_view>{"text/x-form"});
}

TEST_CASE("a multipart body holds fields, bytes and files") {
    const auto path = std::filesystem::temp_directory_path() / ("breakwater-part-" + std::to_string(::getpid()));
    std::ofstream{path} << "from disk";
    const ScriptedTransport service{Response{.status = 503}, Response{.status = 200}};
    REQUIRE(client(service).put("/x", {.multipart = {{.name = "note", .body = "hi"},
                                                     {.name = "raw", .body = "\1\2", .filename = "r.bin"},
                                                     bw::file_part("disk", path, "text/plain")}}));
    std::filesystem::remove(path);
    REQUIRE(service.count() == 2);
    for (const bw::Request& request : service.requests()) {
        const std::string b = "--" + boundary_of(request);
        CHECK(request.body == b + "\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nhi\r\n" + b +
                                  "\r\nContent-Disposition: form-data; name=\"raw\"; filename=\"r.bin\"\r\n"
                                  "Content-Type: application/octet-stream\r\n\r\n\1\2\r\n" +
                                  b + "\r\nContent-Disposition: form-data; name=\"disk\"; filename=\"" +
                                  path.filename().string() + "\"\r\nContent-Type: text/plain\r\n\r\nfrom disk\r\n" + b +
                                  "--\r\n");
    }
}

TEST_CASE("names and filenames cannot break out of their header") {
    const std::string text =
        encoded({{.name = "a\"; filename=\"x", .body = "v", .filename = "evil\"\r\nContent-Type: text/html\r\n\r\n"}});
    CHECK_THAT(text,
               Catch::Matchers::ContainsSubstring(
                   "; name=\"a%22; filename=%22x\"; filename=\"evil%22%0D%0AContent-Type: text/html%0D%0A%0D%0A\"\r\n"
                   "Content-Type: application/octet-stream\r\n\r\nv\r\n"));
}

TEST_CASE("a boundary is new each time and in none of the parts") {
    const bw::Multipart parts{{.name = "a", .body = "b"}};
    CHECK(bw::encode(parts)->content_type != bw::encode(parts)->content_type);
}

TEST_CASE("a multipart body with a one-shot part is one-shot") {
    const auto once = [] { return bw::one_shot_body([](std::span<char>) { return std::size_t{0}; }); };
    CHECK(bw::encode({{.name = "a", .body = "b"}})->body.is_replayable());
    const ScriptedTransport service{Response{.status = 503}, Response{.status = 200}};
    const auto answer = client(service).put("/x", {.multipart = {{.name = "a", .body = once()}}});
    REQUIRE_FALSE(answer);
    CHECK(answer.error().stopped_by() == Errc::not_replayable);
    CHECK(service.count() == 1);
}

TEST_CASE("what makes no multipart body, or two bodies, is refused unsent by name") {
    const auto service = ScriptedTransport::always(Response{.status = 200});
    const auto refusal = [&](const bw::RequestOptions& options) {
        const Error error = client(service).post("/x", options).error();
        CHECK(error.code() == Errc::invalid_request);
        return std::string{error.detail()};
    };
    CHECK(refusal({.multipart = {{.name = "a"}, {.body = "b"}}}) == "multipart[1].name: must not be empty");
    CHECK(refusal({.multipart = {{.name = "a", .content_type = "text/plain\r\nX: y"}}}) ==
          "multipart[0].content_type: holds CR, LF, NUL or another control");
    CHECK(refusal({.json = {{"a", 1}}, .form = {{"a", 1}}}) == "json and form: give one");
    CHECK(refusal({.form = {{"a", 1}}, .multipart = {{.name = "a"}}}) == "form and multipart: give one");
    CHECK(refusal({.multipart = {{.name = "a"}}, .body = "b"}) == "multipart and body: give one");
    CHECK(refusal({.json = {{"a", 1}}, .body = "b"}) == "json and body: give one");
    CHECK(service.count() == 0);
}
