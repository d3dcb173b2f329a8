#include <breakwater/http/redact.hpp>
#include <catch_shim.hpp>

#include <string>
#include <string_view>

namespace bw = breakwater;

namespace {

std::string redacted(std::string_view text) { return bw::Redaction{}.text(text); }

}  // namespace

TEST_CASE("values with a telling name are masked wherever they stand") {
    CHECK(redacted("GET /x?page=2&Api_Key=hush&q=1") == "GET /x?page=2&Api_Key=***&q=1");
    CHECK(redacted("/x?X-Amz-Signature=ab%2Fc#f") == "/x?X-Amz-Signature=***#f");
    CHECK(redacted("Authorization: Digest a b, c\r\nAccept: d") == "Authorization: ***, c\r\nAccept: d");
    CHECK(redacted("x-api-key:hush") == "x-api-key:***");
    CHECK(redacted(R"({"error": "no", "access_token": "h u\"sh", "id": 7})") ==
          R"({"error": "no", "access_token": "***", "id": 7})");
    CHECK(redacted(R"({"m": "{\"password\":\"hush\"}"})") == R"({"m": "{\"password\":\"***\"}"})");
    CHECK(redacted("password='hush'; token = hush") == "password='***'; token = ***");
    CHECK(redacted(R"({"token": 12345})") == R"({"token": ***})");
    CHECK(redacted("got Bearer abc.def-123 and basic YW5uOg==") == "got Bearer *** and basic ***");
    CHECK(redacted("https://ann:hush@api.test/x //bob@h") == "https://***@api.test/x //***@h");
}

TEST_CASE("what is no secret stays") {
    for (const std::string_view text :
         {"", "status 422", "/products/3/token: expected number, got string", "sku=7&monkey=1", "time 12:30",
          "basic authentication is not supported", "a//b/c", "token=", "the key is missing", "tokens: 5"})
        CHECK(redacted(text) == text);
}

TEST_CASE("names and values of the user's are masked, too") {
    const bw::Redaction redaction{{.query = {"pin"}, .headers = {"X-Tenant-Id"}, .values = {"b0t/tok", "abc"}}};
    CHECK(redaction.text("?pin=1&x_tenant_id=2") == "?pin=***&x_tenant_id=***");
    CHECK(redaction.text("/b0t/tok/send and b0t%2Ftok, abc") == "/***/send and ***, abc");
    CHECK(redaction.is_telling("GET /b0t/tok/send"));
    CHECK_FALSE(redaction.is_telling("GET /send"));
}

TEST_CASE("the secrets of the request at hand are known") {
    const bw::Request request{.url = "http://a.test/x?token=hu%20sh&page=123456",
                              .headers = {{"Cookie", "sid=whisper"}, {"Accept", "text/html"}}};
    CHECK(bw::Redaction{}.text("hu sh, hu%20sh, sid=whisper, 123456, text/html", &request) ==
          "***, ***, ***, 123456, text/html");
}

TEST_CASE("an excerpt is one bounded line of whole characters") {
    const bw::Redaction redaction;
    CHECK(redaction.excerpt("{\n  \"error\": \"sku\t unknown\"\n}\n") == R"({ "error": "sku unknown" })");
    CHECK(redaction.excerpt("a\x1b[2J\x01\x7f\xc2\x85z\u2028") == "a?[2J???z?");
    CHECK(redaction.excerpt("gr\u00fc\u00df \u20ac \U0001f600 \xff\xc3 \xed\xa0\x80") ==
          "gr\u00fc\u00df \u20ac \U0001f600 ?? ???");
    std::string wide;
    for (int i = 0; i < 300; ++i) wide += "\u20ac";
    CHECK(redaction.excerpt(wide) == wide.substr(0, 600) + "…");
    CHECK(redaction.excerpt(std::string(200, 'a')) == std::string(200, 'a'));
    CHECK(redaction.excerpt("").empty());
}

TEST_CASE("a secret that the end of what is looked at cuts in two is not shown") {
    bw::Redaction redaction;
    redaction.learn(std::string(500, 's') + "HUSH");
    std::string body = "a ";
    for (int i = 0; i < 7; ++i) body += std::string(500, 's') + "HUSH ";
    body += std::string(4096 - body.size() - 300, ' ') + std::string(500, 's') + "HUSH";
    CHECK(redaction.excerpt(body).find("ss") == std::string::npos);
}
