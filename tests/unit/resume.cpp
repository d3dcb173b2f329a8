#include <breakwater/client/part_record.hpp>
#include <breakwater/client/resume.hpp>
#include <breakwater/http/content_range.hpp>
#include <breakwater/http/validator.hpp>

#include <catch_shim.hpp>

#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace bw = breakwater;
using bw::ContentRange;
using bw::Headers;
using bw::Response;
using bw::ResumePoint;
using bw::Validator;
using Kind = bw::ContentPlace::Kind;

namespace {

constexpr std::string_view friday = "Fri, 21 Nov 2025 10:00:00 GMT";
constexpr std::string_view friday_59_s_later = "Fri, 21 Nov 2025 10:00:59 GMT";
constexpr std::string_view friday_a_minute_later = "Fri, 21 Nov 2025 10:01:00 GMT";

ResumePoint at_5_of_9() { return {.from = 5, .validator = {.text = "\"v1\""}, .total = 9}; }
bw::ContentPlace place(int status, Headers headers, const std::optional<ResumePoint>& asked = at_5_of_9()) {
    return bw::content_place(Response{.status = status, .headers = std::move(headers)}, asked);
}

}  // namespace

TEST_CASE("Content-Range is read to the letter") {
    STATIC_REQUIRE(bw::parse_content_range("bytes 5-8/9") == ContentRange{{{5, 8}}, 9});
    STATIC_REQUIRE(bw::parse_content_range("bytes 0-0/*") == ContentRange{{{0, 0}}, {}});
    STATIC_REQUIRE(bw::parse_content_range("Bytes */9") == ContentRange{{}, 9});
    for (const std::string_view wrong :
         {"", "bytes", "bytes ", "bytes 5-8", "bytes 8-5/9", "bytes 5-9/9", "bytes */*", "bytes -8/9", "bytes 5-/9",
          "bytes +5-8/9", "bytes 5-8/9x", "lines 5-8/9", "bytes=5-8/9", "bytes 5-18446744073709551615/*",
          "bytes 5-99999999999999999999/*"}) {
        CAPTURE(wrong);
        CHECK_FALSE(bw::parse_content_range(wrong));
    }
}

TEST_CASE("only what can name a single version is a validator") {
    CHECK(bw::strong_validator({{"ETag", "\"v1\""}}) == Validator{Validator::Kind::entity_tag, "\"v1\""});
    for (const std::string_view weak : {"W/\"v1\"", "v1", "\"", "\"a\"b\"", "\"a b\"", ""}) {
        CAPTURE(weak);
        CHECK_FALSE(bw::strong_validator({{"ETag", weak}}));
        // The date of something that has a tag is none either.
        CHECK_FALSE(bw::strong_validator({{"ETag", weak}, {"Last-Modified", friday}, {"Date", friday_a_minute_later}}));
    }
    CHECK_FALSE(bw::strong_validator({{"ETag", "\"v1\""}, {"ETag", "\"v2\""}}));

    CHECK(bw::strong_validator({{"Last-Modified", friday}, {"Date", friday_a_minute_later}}) ==
          Validator{Validator::Kind::date, std::string{friday}});
    CHECK_FALSE(bw::strong_validator({{"Last-Modified", friday}, {"Date", friday_59_s_later}}));
    CHECK_FALSE(bw::strong_validator({{"Last-Modified", friday}}));
    CHECK_FALSE(bw::strong_validator({{"Last-Modified", "yesterday"}, {"Date", friday_a_minute_later}}));
}

TEST_CASE("a request is resumed only if it is a GET of the whole") {
    CHECK(bw::is_resumable({}));
    CHECK(bw::is_resumable({.headers = {{"Accept", "text/csv"}}}));
    CHECK_FALSE(bw::is_resumable({.method = bw::Method::post}));
    for (const std::string_view own : {"range", "If-Range", "If-Match", "If-None-Match", "If-Modified-Since"})
        CHECK_FALSE(bw::is_resumable({.headers = {{own, "x"}}}));
}

TEST_CASE("the rest is asked for with the range, its condition and no coding") {
    Headers headers;
    bw::ask_for_rest(headers, at_5_of_9());
    CHECK(headers == Headers{{"Accept-Encoding", "identity"}, {"Range", "bytes=5-"}, {"If-Range", "\"v1\""}});
    Headers whole{{"Accept-Encoding", "gzip"}};
    bw::ask_for_rest(whole, std::nullopt);
    CHECK(whole == Headers{{"Accept-Encoding", "gzip"}});
}

TEST_CASE("a part goes on only where it begins at the byte asked for, of the same version and length") {
    const auto good = place(206, {{"Content-Range", "bytes 5-8/9"}, {"ETag", "\"v1\""}});
    CHECK(good.kind == Kind::rest);
    CHECK(good.end == 9U);
    CHECK(good.total == 9U);
    CHECK(place(206, {{"Content-Range", "bytes 5-8/*"}}).kind == Kind::rest);  // If-Range has been heeded
    CHECK(place(206, {{"Content-Range", "bytes 5-6/9"}}).end == 7U);           // less than asked for is legal

    for (const std::string_view range : {"bytes 4-8/9", "bytes 6-8/9", "bytes 5-9/10", "bytes 5-9/*", "bytes */9", ""})
        CHECK(place(206, {{"Content-Range", range}}).kind == Kind::unusable);
    CHECK(place(206, {}).kind == Kind::unusable);  // multipart/byteranges
    CHECK(place(206, {{"Content-Range", "bytes 5-8/9"}, {"Content-Range", "bytes 5-8/9"}}).kind == Kind::unusable);
    CHECK(place(206, {{"Content-Range", "bytes 5-8/9"}, {"ETag", "\"v2\""}}).kind == Kind::unusable);
    CHECK(place(206, {{"Content-Range", "bytes 5-8/9"}, {"ETag", "W/\"v1\""}}).kind == Kind::unusable);
    CHECK(place(206, {{"Content-Range", "bytes 5-8/9"}, {"Content-Encoding", "gzip"}}).kind == Kind::unusable);
    CHECK(place(206, {{"Content-Range", "bytes 0-8/9"}}, std::nullopt).kind == Kind::unusable);

    ResumePoint dated = at_5_of_9();
    dated.validator = {Validator::Kind::date, std::string{friday}};
    CHECK(place(206, {{"Content-Range", "bytes 5-8/9"}, {"Last-Modified", friday}}, dated).kind == Kind::rest);
    CHECK(place(206, {{"Content-Range", "bytes 5-8/9"}, {"Last-Modified", friday_59_s_later}}, dated).kind ==
          Kind::unusable);
}

TEST_CASE("any other good answer is the whole, of the length it announces") {
    const auto whole = place(200, {{"Content-Length", "12"}});
    CHECK(whole.kind == Kind::whole);
    CHECK(whole.total == 12U);
    CHECK_FALSE(place(200, {}).total);
    CHECK_FALSE(place(200, {{"Content-Length", "12"}, {"Content-Encoding", "gzip"}}).total);
    CHECK(place(200, {{"Content-Length", "12"}, {"Content-Encoding", "identity"}}).total == 12U);
}

TEST_CASE("a 416 says that nothing is missing only if the whole is as long as what is there") {
    const auto says = [](int status, Headers headers, ResumePoint asked) {
        return bw::says_complete(Response{.status = status, .headers = std::move(headers)}, asked);
    };
    ResumePoint all = at_5_of_9();
    all.total = 5;
    CHECK(says(416, {{"Content-Range", "bytes */5"}}, all));
    CHECK_FALSE(says(416, {{"Content-Range", "bytes */4"}}, all));
    CHECK_FALSE(says(416, {{"Content-Range", "bytes */5"}}, at_5_of_9()));
    CHECK_FALSE(says(416, {}, all));
    CHECK_FALSE(says(404, {{"Content-Range", "bytes */5"}}, all));
    CHECK_FALSE(says(416, {{"Content-Range", "bytes */5"}, {"ETag", "\"v2\""}}, all));
    all.total.reset();
    CHECK(says(416, {{"Content-Range", "bytes */5"}}, all));
}

TEST_CASE("the record of a part is read back as it was written, and nothing else is") {
    const std::string source = bw::fingerprint("https://api.test/x?token=secret");
    CHECK(source.size() == 32);
    CHECK(source != bw::fingerprint("https://api.test/x?token=other"));
    for (const bw::PartRecord& record :
         {bw::PartRecord{source, {Validator::Kind::entity_tag, "\"v1\""}, 9},
          bw::PartRecord{source, {Validator::Kind::date, std::string{friday}}, std::nullopt}}) {
        const std::string text = bw::to_text(record);
        CHECK(bw::parse_part_record(text) == record);
        for (std::size_t cut = 0; cut < text.size(); ++cut) CHECK_FALSE(bw::parse_part_record(text.substr(0, cut)));
    }
    for (const std::string_view wrong :
         {"", "null", "[]", "{}", R"({"version":1,"source":"s"})", R"({"version":2,"source":"s","etag":"\"v\""})",
          R"({"version":1,"source":"s","etag":"W/\"v\""})", R"({"version":1,"source":"s","etag":"\"v\"\r\nHost: x"})",
          R"({"version":1,"source":"s","last_modified":"x\r\nHost: x"})", R"({"version":1,"source":1,"etag":"\"v\""})",
          R"({"version":1,"source":"s","etag":"\"v\"","last_modified":"x"})",
          R"({"version":1,"source":"s","etag":"\"v\"","total":-1})"}) {
        CAPTURE(wrong);
        CHECK_FALSE(bw::parse_part_record(wrong));
    }
}
