// Compiled alone: it specializes a template of nlohmann's.
#include <breakwater/http/response.hpp>
#include <catch_shim.hpp>
#include <unit/scripted_client.hpp>

#include <array>
#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::Errc;
using bw::Response;
using Catch::Matchers::ContainsSubstring;

namespace shop {

struct Product {
    std::string sku{};
    double price = 0;
    std::optional<int> stock{};
};
int conversions = 0;
// Written out of the members' order, as is allowed.
void from_json(const nlohmann::json& json, Product& product) {
    ++conversions;
    json.at("price").get_to(product.price);
    json.at("sku").get_to(product.sku);
    if (const auto stock = json.find("stock"); stock != json.end()) product.stock = stock->get<int>();
}

void to_json(nlohmann::json& json, const Product& product) { json = {{"sku", product.sku}, {"price", product.price}}; }

struct Page {
    std::vector<Product> products{};
    int pages = 0;
    NLOHMANN_DEFINE_TYPE_INTRUSIVE(Page, products, pages)
};

struct Currency {
    explicit Currency(const std::string& name) : code{name} {
        if (name.size() != 3) throw std::invalid_argument{"a currency has three letters"};
    }
    std::string code;
};

struct Money {
    Currency currency;
    std::unique_ptr<int> cents;
};

struct Opaque {};

struct Odd {
    int value = 0;
};
void from_json(const nlohmann::json& json, Odd& odd) {
    const auto text = json.at("text").get<std::string>();
    odd.value = nlohmann::json(text).get<int>();  // not a part of the document
}

}  // namespace shop

template <>
struct nlohmann::adl_serializer<shop::Currency> {
    static shop::Currency from_json(const json& json) { return shop::Currency{json.get<std::string>()}; }
};
template <>
struct nlohmann::adl_serializer<shop::Money> {
    static shop::Money from_json(const json& json) {
        return {json.at("currency").get<shop::Currency>(), std::make_unique<int>(json.at("cents").get<int>())};
    }
};

namespace {

Response answer(std::string body) {
    return {.status = 200, .body = std::move(body), .url = "http://api.test/v1/inventory?key=hush"};
}

/// What decoding the body says, without the subject.
template <class T>
std::string fault(std::string body) {
    const auto result = answer(std::move(body)).as<T>();
    if (result) return "decoded";
    CHECK(result.error().code() == Errc::decode_failed);
    return std::string{result.error().detail()};
}

}  // namespace

TEST_CASE("a body is decoded through nlohmann's conversions") {
    const Response response = answer(R"({"products": [{"sku": "VAN-1", "price": 4.5, "stock": 7}], "pages": 3})");
    const auto page = response.as<shop::Page>();
    REQUIRE(page);
    CHECK(page->pages == 3);
    REQUIRE(page->products.size() == 1);
    CHECK(page->products[0].sku == "VAN-1");
    CHECK(page->products[0].stock == 7);
    CHECK(answer("[1, 2]").as<std::vector<int>>() == std::vector{1, 2});
    CHECK(answer("[1, 2]").as<nlohmann::json>() == nlohmann::json{1, 2});
}

TEST_CASE("types that cannot be copied or made from nothing are decoded") {
    const auto money = answer(R"({"currency": "EUR", "cents": 250})").as<shop::Money>();
    REQUIRE(money);
    CHECK(money->currency.code == "EUR");
    CHECK(*money->cents == 250);
    CHECK(fault<shop::Money>(R"({"currency": "EUR", "cents": "250"})") == "/cents: expected number, got string");
    CHECK(fault<shop::Money>(R"({"currency": 5, "cents": 250})") == "/currency: expected string, got number");
}

TEST_CASE("what keeps a reference into the document, or has no conversion, is refused at compile time") {
    STATIC_REQUIRE(bw::JsonDecodable<shop::Page>);
    STATIC_REQUIRE(bw::JsonDecodable<shop::Money>);
    STATIC_REQUIRE_FALSE(bw::JsonDecodable<shop::Opaque>);
    STATIC_REQUIRE_FALSE(bw::JsonDecodable<std::string_view>);
    STATIC_REQUIRE_FALSE(bw::JsonDecodable<const std::string*>);
    STATIC_REQUIRE_FALSE(bw::JsonDecodable<const std::string&>);
}

TEST_CASE("a value of the wrong kind is named by its path, whatever the order in which members are read") {
    CHECK(fault<shop::Page>(R"({"products": [{"sku": "a", "price": 1}, {"sku": "b", "price": "2"}], "pages": 3})") ==
          "/products/1/price: expected number, got string");
    CHECK(fault<shop::Page>(R"({"products": [{"sku": "a", "price": 1}, {"sku": 7, "price": 2}], "pages": "3"})") ==
          "/products/1/sku: expected string, got number");
    CHECK(fault<shop::Page>(R"({"products": [{"sku": "a", "price": 1, "stock": null}], "pages": 3})") ==
          "/products/0/stock: expected number, got null");
    CHECK(fault<shop::Page>(R"({"products": [], "pages": "3"})") == "/pages: expected number, got string");
    CHECK(fault<shop::Page>(R"({"products": {"a": 1}, "pages": 3})") == "/products: expected array, got object");
    CHECK(fault<shop::Page>(R"([1, 2])") == "the document: expected object, got array");
    CHECK(fault<int>(R"("x")") == "the document: expected number, got string");
}

TEST_CASE("two values of one kind, one of them wanted, are told apart") {
    using Row = std::tuple<std::string, std::string, int, std::string>;
    CHECK(fault<std::vector<Row>>(R"([["a", "b", 1, "c"], ["a", "b", "1", "c"]])") ==
          "/1/2: expected number, got string");
    CHECK(fault<std::array<double, 3>>(R"([1, 2, "3"])") == "/2: expected number, got string");
    CHECK(fault<std::map<std::string, std::vector<int>>>(R"({"a": [1], "b/c": [2, true, []], "d": []})") ==
          "/b~1c/2: expected number, got array");
}

TEST_CASE("a member that is missing is named with the object that lacks it") {
    CHECK(fault<shop::Page>(R"({"products": [{"sku": "a", "price": 1}, {"price": 2}], "pages": 3})") ==
          "/products/1: \"sku\" is missing");
    CHECK(fault<shop::Page>(R"({"products": [{"sku": "a", "price": 1}]})") == "the document: \"pages\" is missing");
}

TEST_CASE("what a conversion of one's own throws is told with the value that was read last") {
    CHECK(fault<shop::Money>(R"({"currency": "EURO", "cents": 250})") ==
          "after reading /currency: a currency has three letters");
    CHECK(fault<std::vector<shop::Currency>>(R"(["EUR", "x", "USD"])") ==
          "after reading /1: a currency has three letters");
}

TEST_CASE("no place is claimed for a failure that is not in the document") {
    CHECK(fault<shop::Odd>(R"({"text": "a"})") == "expected number, got string");
}

TEST_CASE("a large document's fault is found with few conversions") {
    nlohmann::json products = nlohmann::json::array();
    for (int i = 0; i < 5'000; ++i) products.push_back({{"sku", std::to_string(i)}, {"price", i}});
    products[4'321]["price"] = nullptr;
    shop::conversions = 0;
    CHECK(fault<shop::Page>(nlohmann::json{{"products", products}, {"pages", 1}}.dump()) ==
          "/products/4321/price: expected number, got null");
    CHECK(shop::conversions < 20 * 5'000);
    nlohmann::json many;
    for (int i = 0; i < 5'000; ++i) many["k" + std::to_string(i)] = i;
    many["k77"] = "x";
    CHECK(fault<std::map<std::string, int>>(many.dump()) == "/k77: expected number, got string");
}

TEST_CASE("a body that is not JSON at all is a decode error with the place") {
    CHECK(fault<int>("") == "not JSON: it is empty");
    CHECK(fault<int>("{\n  oops") == "not JSON at byte 5 (line 2, column 3)");
}

TEST_CASE("the error of decoding has subject, status and the response") {
    const auto result = answer("[]").as<int>();
    REQUIRE_FALSE(result);
    const bw::Error& error = result.error();
    CHECK(error.message() == "/v1/inventory: the body could not be decoded: the document: expected number, got array");
    CHECK(error.status() == 200);
    REQUIRE(error.response() != nullptr);
    CHECK(error.response()->body == "[]");
    REQUIRE_FALSE(answer("x").as<int>());
    CHECK(answer("x").as<int>().error().response() != nullptr);
}

TEST_CASE("the document that json() keeps is the one that is decoded") {
    Response response = answer(R"({"a": 1})");
    response.json()["a"] = 2;
    CHECK(response.as<std::map<std::string, int>>() == std::map<std::string, int>{{"a", 2}});
}

TEST_CASE("a client decodes good answers; a body that does not fit is neither retried nor a failure of the service") {
    const bw::ManualClock clock;
    const bw::ScriptedTransport service{answer(R"([1, 2])"), answer(R"([1, "2"])"), Response{.status = 404},
                                        answer("7"),         answer("8"),           answer("9"),
                                        answer("10")};
    const bw::ResilientClient client{
        bw::ClientOptions{.base_url = "http://api.test", .circuit_breaker = {.trip = bw::ConsecutiveFailures{1}}},
        service, bw::MemoryStore{clock}};
    CHECK(client.get_as<std::vector<int>>("/n") == std::vector{1, 2});
    const auto bad = client.get_as<std::vector<int>>("/n", {.query = {{"key", "hush"}}});
    REQUIRE_FALSE(bad);
    CHECK(bad.error().message() == "GET /n: the body could not be decoded: /1: expected number, got string");
    CHECK(bad.error().attempts() == 1);
    CHECK(bad.error().timeline().size() == 1);
    CHECK(service.count() == 2);
    CHECK(client.circuit_breaker().state() == bw::CircuitState::closed);
    CHECK(client.circuit_breaker().snapshot().counts.failures == 0);
    CHECK(client.get_as<int>("/n").error().status() == 404);
    CHECK(client.post_as<int>("/n") == 7);
    CHECK(client.put_as<int>("/n") == 8);
    CHECK(client.patch_as<int>("/n") == 9);
    CHECK(client.del_as<int>("/n") == 10);
    std::string methods;
    for (const auto& request : service.requests()) methods.append(request.method.name()).append(" ");
    CHECK(methods == "GET GET GET POST PUT PATCH DELETE ");
}

TEST_CASE("a result of any call is decoded by decode_as") {
    CHECK(bw::decode_as<int>(bw::Result<Response>{answer("5")}) == 5);
    CHECK(bw::decode_as<int>(bw::fail(Errc::circuit_open)).error().code() == Errc::circuit_open);
}
