#include <breakwater/digest.hpp>
#include <breakwater/digest/fields.hpp>
#include <breakwater/http/response.hpp>

#include <catch_shim.hpp>

#include <memory>
#include <string>
#include <string_view>

namespace bw = breakwater;
using bw::DigestAlgorithm;
using bw::Headers;
using bw::NamedDigest;
using bw::Response;
using Catch::Matchers::ContainsSubstring;

namespace {

// Of "abc", from FIPS 180-4's examples and RFC 1321's.
constexpr std::string_view hex_256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
constexpr std::string_view hex_512 =
    "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
    "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f";
const std::string base_256 = "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=";
const std::string base_512 = "3a81oZNherrMQXNJriBBMRLm+k6JqX6iCp7u5ktV05ohkpkqJ0/BqDa6PCOj/uu9RU1EI2Q86A4qmslPpUyknw==";
const std::string base_md5 = "kAFQmDzST7DWlj99KOF/cg==";

bw::ReadAgain earlier(std::string text) {
    return [text = std::move(text)](const auto& use) { return use(text), bw::Result<void>{}; };
}
const bw::ReadAgain nothing_earlier = earlier("");
const bw::ReadAgain not_to_be_asked = [](const auto&) -> bw::Result<void> { return bw::fail(bw::Errc::failure); };

/// What a check says of "abc" in the answer with these headers.
bw::Result<void> judged(const bw::MakeFileCheck& make, Headers headers, std::string_view text = "abc") {
    const auto check = make();
    if (auto ok = check->begin(Response{.status = 200, .headers = std::move(headers)}, 0, not_to_be_asked); !ok)
        return ok;
    for (const char& c : text) check->take({&c, 1});
    return check->end();
}

}  // namespace

TEST_CASE("a given digest is that of the file, in either case of letters") {
    std::string upper{hex_256};
    for (char& c : upper) c = c >= 'a' ? static_cast<char>(c - 32) : c;
    CHECK(judged(bw::sha256(hex_256), {}));
    CHECK(judged(bw::sha256(upper), {}));
    CHECK(judged(bw::sha512(hex_512), {}));

    const auto wrong = judged(bw::sha256(hex_256), {}, "abd");
    REQUIRE_FALSE(wrong);
    CHECK(wrong.error().code() == bw::Errc::digest_mismatch);
    CHECK(wrong.error().detail() == "sha-256: expected " + std::string{hex_256} +
                                        ", got a52d159f262b2c6ddb724a61840befc36eb30c88877a4030b65cbe86298449c9");
    CHECK_THROWS_WITH(bw::sha256("ba78"), ContainsSubstring("sha-256: must be 64 hexadecimal digits"));
    CHECK_THROWS_WITH(bw::sha512(hex_256), ContainsSubstring("128"));
    CHECK_THROWS(bw::sha256(std::string(64, 'g')));
}

TEST_CASE("a digest is found in each of its fields, the strongest first") {
    const auto whole = [](Headers headers) { return bw::digest_of_whole(headers); };
    const auto content = [](Headers headers) { return bw::digest_of_content(headers); };
    const NamedDigest of_256{DigestAlgorithm::sha_256, base_256, "Repr-Digest"};
    const std::string both = "sha-256=:" + base_256 + ":, sha-512=:" + base_512 + ":";

    CHECK(whole({{"Repr-Digest", "sha-256=:" + base_256 + ":"}}) == of_256);
    CHECK(whole({{"Repr-Digest", "sha-256=:" + base_256.substr(0, 43) + ":"}}) == of_256);  // without its padding
    CHECK(whole({{"Repr-Digest", both}})->algorithm == DigestAlgorithm::sha_512);
    CHECK(whole({{"Repr-Digest", "unixsum=:AAA=:"}, {"Repr-Digest", "sha-256=:" + base_256 + ":"}}) == of_256);
    CHECK(content({{"Content-Digest", both}}) == NamedDigest{DigestAlgorithm::sha_512, base_512, "Content-Digest"});
    CHECK(whole({{"Digest", "unixsum=30637, SHA-256=" + base_256 + ",md5=" + base_md5}}) ==
          NamedDigest{DigestAlgorithm::sha_256, base_256, "Digest"});
    CHECK(content({{"Content-MD5", base_md5}}) == NamedDigest{DigestAlgorithm::md5, base_md5, "Content-MD5"});
    CHECK(whole({{"Digest", "md5=" + base_md5}, {"Repr-Digest", "sha-256=:" + base_256 + ":"}}) == of_256);

    for (const std::string& wrong :
         {"sha-256=" + base_256, "sha-256=:" + base_md5 + ":", std::string{"sha-256"}, std::string{"sha-256=:*:"},
          "sha-256=:" + base_256 + ":, =", "sha-256=:" + base_256}) {
        CAPTURE(wrong);
        CHECK_FALSE(whole({{"Repr-Digest", wrong}}));
    }
    for (const char* wrong : {"", ",", "=", "SHA-256", "SHA-256=", "SHA-256=????", ",,,=,"})
        CHECK_FALSE(whole({{"Digest", wrong}}));
    CHECK_FALSE(content({{"Content-MD5", base_256}}));
}

TEST_CASE("an answer is held to the digest that it names itself, if it names one") {
    const auto by_server = bw::server_digest();
    CHECK(judged(by_server, {}));
    for (const auto& [name, value] : Headers{{"Repr-Digest", "sha-512=:" + base_512 + ":"},
                                             {"Content-Digest", "sha-256=:" + base_256 + ":"},
                                             {"Digest", "SHA-256=" + base_256},
                                             {"Content-MD5", base_md5}}) {
        CAPTURE(name);
        CHECK(judged(by_server, {{name, value}}));
        const auto wrong = judged(by_server, {{name, value}}, "abd");
        REQUIRE_FALSE(wrong);
        CHECK(wrong.error().code() == bw::Errc::digest_mismatch);
        CHECK_THAT(std::string{wrong.error().detail()}, ContainsSubstring(name));
        // What is decoded on the way has another one.
        CHECK(judged(by_server, {{name, value}, {"Content-Encoding", "gzip"}}, "abd"));
    }
}

TEST_CASE("the digests of a resumed answer are the file's and the part's, each to its own") {
    const auto resumed = [&](Headers first, Headers second, std::string_view rest, const bw::ReadAgain& again) {
        const auto check = bw::server_digest()();
        REQUIRE(check->begin(Response{.status = 200, .headers = std::move(first)}, 0, not_to_be_asked));
        check->take("a");
        REQUIRE(check->begin(Response{.status = 206, .headers = std::move(second)}, 1, again));
        check->take(rest);
        return check->end().has_value();
    };
    const Headers whole{{"Repr-Digest", "sha-256=:" + base_256 + ":"}};
    const Headers md5_of_bc{{"Content-MD5", "U2CvNb3p69jwH0ktwFlZPA=="}};
    CHECK(resumed(whole, whole, "bc", not_to_be_asked));
    CHECK(resumed(whole, {}, "bc", not_to_be_asked));
    CHECK_FALSE(resumed(whole, {}, "bd", not_to_be_asked));
    CHECK(resumed({}, whole, "bc", earlier("a")));  // there was nothing to hash until now
    CHECK_FALSE(resumed({}, whole, "bd", earlier("a")));
    CHECK(resumed({{"Content-MD5", base_md5}}, whole, "bc", earlier("a")));
    CHECK(resumed({}, md5_of_bc, "bc", not_to_be_asked));
    CHECK_FALSE(resumed({}, md5_of_bc, "bd", not_to_be_asked));
    CHECK_FALSE(resumed(md5_of_bc, {}, "bc", not_to_be_asked));  // of the first answer, so of the whole
}

TEST_CASE("what another process has begun is hashed before what comes") {
    for (const auto& make : {bw::sha256(hex_256), bw::server_digest()}) {
        const auto check = make();
        const Response answer{.status = 206, .headers = {{"Repr-Digest", "sha-256=:" + base_256 + ":"}}};
        REQUIRE(check->begin(answer, 2, earlier("ab")));
        check->take("c");
        CHECK(check->end());
        REQUIRE(check->begin(answer, 2, earlier("ab")));  // and again
        check->take("d");
        CHECK_FALSE(check->end());
    }
}
