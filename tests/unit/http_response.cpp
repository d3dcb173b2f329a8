#include <breakwater/http/response.hpp>

#include <catch_shim.hpp>

#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

namespace bw = breakwater;
using namespace std::string_literals;
using namespace std::string_view_literals;

namespace {

bw::Response with_body(std::string body) {
    return {.status = 200, .body = std::move(body), .url = "https://a.test/v1/items?token=s3cret"};
}

bw::Error json_error(bw::Response response) {
    try {
        response.json();
    } catch (const bw::Exception& exception) {
        return exception.error();
    }
    FAIL("no exception");
    return bw::Error{bw::Errc::failure};
}

template <class T>
concept GivesJson = requires(T&& response) { std::forward<T>(response).json(); };

}  // namespace

TEST_CASE("a response is an aggregate that moves without throwing") {
    static_assert(std::is_aggregate_v<bw::Response>);
    static_assert(std::is_nothrow_move_constructible_v<bw::Response>);
    static_assert(std::is_nothrow_move_assignable_v<bw::Response>);
    static_assert(std::is_copy_constructible_v<bw::Response> && std::is_copy_assignable_v<bw::Response>);
    const bw::Response response{.status = 204, .headers = {{"ETag", "x"}}};
    CHECK(response.is_success());
    CHECK(response.header("etag") == "x");
    CHECK_FALSE(response.header("Date").has_value());
    CHECK(response.source == bw::Source::network);
    CHECK_FALSE(bw::Response{}.is_success());
    CHECK_FALSE(bw::Response{.status = 300}.is_success());
    CHECK(bw::to_string(bw::Source::stale_cache) == "stale_cache");
}

TEST_CASE("the JSON of a body is parsed once and kept in the response") {
    bw::Response response = with_body(R"({"products": [{"sku": "VAN-001"}, {"sku": "CHO-002"}]})");
    CHECK(response.json()["products"].size() == 2);
    nlohmann::json* const address = &response.json();
    for (auto& product : response.json()["products"]) product["seen"] = true;
    CHECK(&response.json() == address);
    CHECK(&std::as_const(response).json() == address);
    CHECK(std::as_const(response).json()["products"][1]["seen"] == true);
}

TEST_CASE("the JSON of a temporary response cannot be referred to") {
    static_assert(GivesJson<bw::Response&> && GivesJson<const bw::Response&>);
    static_assert(!GivesJson<bw::Response> && !GivesJson<const bw::Response>);
}

TEST_CASE("a change to the JSON of a response shows in no other") {
    bw::Response first = with_body(R"({"a": 1})");
    bw::Response before = first;
    first.json()["a"] = 2;
    bw::Response after = first;
    first.json()["a"] = 3;
    CHECK(before.json()["a"] == 1);
    CHECK(after.json()["a"] == 2);
    CHECK(first.json()["a"] == 3);
    before = after;
    after.json()["a"] = 4;
    CHECK(before.json()["a"] == 2);
    bw::Response& same = before;
    before = same;
    CHECK(before.json()["a"] == 2);
}

TEST_CASE("moving a response moves its JSON") {
    bw::Response first = with_body("[1]");
    const nlohmann::json* const address = &first.json();
    bw::Response second = std::move(first);
    CHECK(&second.json() == address);
    bw::Response third = with_body("[2]");
    CHECK(third.json()[0] == 2);
    third = std::move(second);
    CHECK(&third.json() == address);
}

TEST_CASE("try_json gives a document of its own and the mistake as an error") {
    bw::Response response = with_body("[1, 2]");
    bw::Result<nlohmann::json> own = response.try_json();
    REQUIRE(own);
    (*own)[0] = 9;
    CHECK(response.json()[0] == 1);
    response.json()[1] = 7;
    CHECK(response.try_json().value()[1] == 7);
    CHECK(std::move(response).try_json().value()[1] == 7);
    CHECK(with_body("[5]").try_json().value()[0] == 5);

    const auto bad = with_body("[1, 2").try_json();
    REQUIRE_FALSE(bad);
    CHECK(bad.error().code() == bw::Errc::decode_failed);
    CHECK(bad.error().status() == 200);
    CHECK(bad.error().subject() == "/v1/items");
}

TEST_CASE("a JSON scalar, null and false are documents like any other") {
    for (const char* text : {"null", "false", "0", "\"x\"", "[]", "{}", " 1 ", "\xEF\xBB\xBF{}"}) {
        CAPTURE(text);
        bw::Response response = with_body(text);
        CHECK(response.try_json().has_value());
        CHECK(&response.json() == &response.json());
    }
}

TEST_CASE("a body that is not JSON throws with path and place, and repeats nothing of it") {
    struct Row {
        std::string body;
        std::string place;
    };
    for (const Row& row : std::vector<Row>{{"", "it is empty"},
                                           {"<html>s3cret</html>", "byte 1 (line 1, column 1)"},
                                           {"{\"a\": s3cret}", "byte 7 (line 1, column 7)"},
                                           {"{\n  \"a\": 1,\n  s3cret: 2\n}", "byte 15 (line 3, column 3)"},
                                           {"[1, 2", "byte 6 (line 1, column 6)"},
                                           {"{} s3cret", "byte 4 (line 1, column 4)"},
                                           {"[\"s3cret\xFF\"]", "byte 9 (line 1, column 9)"},
                                           {"[\"s3cret\n\"]", "byte 9 (line 1, column 9)"},
                                           {"[\"a\", \"\0\"]"s, "byte 8 (line 1, column 8)"},
                                           {"[1e999]", "number out of range"}}) {
        CAPTURE(row.body);
        const bw::Error error = json_error(with_body(row.body));
        CHECK(error.code() == bw::Errc::decode_failed);
        CHECK_THAT(error.message(), Catch::Matchers::ContainsSubstring(row.place));
        CHECK_THAT(error.message(), Catch::Matchers::StartsWith("/v1/items: "));
        CHECK_THAT(error.message(), !Catch::Matchers::ContainsSubstring("s3cret"));
    }
    CHECK(json_error({.body = "x", .url = "https://a.test?token=s3cret"}).subject() == "/");
    CHECK(json_error({.body = "x"}).subject() == "/");
}

TEST_CASE("JSON nested beyond any use is refused before it can exhaust the stack") {
    const auto nested = [](std::size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
    CHECK(with_body(nested(bw::max_json_depth)).try_json().has_value());
    CHECK_THAT(json_error(with_body(nested(bw::max_json_depth + 1))).message(),
               Catch::Matchers::ContainsSubstring("nested more than 500 levels"));
    CHECK_FALSE(with_body(std::string(1'000'000, '[')).try_json());
    CHECK_FALSE(with_body(nested(1'000'000)).try_json());
    std::string objects;
    for (int i = 0; i < 1000; ++i) objects += "{\"a\":";
    CHECK_FALSE(with_body(objects).try_json());

    std::string wide = "[";
    for (int i = 0; i < 2000; ++i) wide += "[],{},";
    CHECK(with_body(wide + "0]").try_json().has_value());
    CHECK(with_body("[\"" + std::string(2000, '[') + "\\\"" + std::string(2000, '{') + "\"]").try_json().has_value());
}

TEST_CASE("threads may share a const response and see one document") {
    const bw::Response response = with_body("{\"a\": [1, 2, 3]}");
    std::vector<const nlohmann::json*> seen(8);
    {
        std::vector<std::jthread> threads;
        for (auto& slot : seen) threads.emplace_back([&response, &slot] { slot = &response.json(); });
    }
    for (const auto* document : seen) CHECK(document == &response.json());
}

TEST_CASE("the response inside an error gives its JSON") {
    bw::Error error{bw::Errc::http_status};
    error.set_response(std::make_shared<const bw::Response>(with_body(R"({"reason": "out of milk"})")));
    CHECK(error.response()->json()["reason"] == "out of milk");
}
