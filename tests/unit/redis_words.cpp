#include <breakwater/store/redis/script.hpp>
#include <breakwater/store/redis/words.hpp>
#include <catch_shim.hpp>

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

using breakwater::redis::Script;
using breakwater::redis::Words;

TEST_CASE("a command is sent as an array of its words, each with its length") {
    CHECK(Words{}.add("PING").wire() == "*1\r\n$4\r\nPING\r\n");
    CHECK(Words{}.add("SET").add("k").add("").wire() == "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$0\r\n\r\n");
    CHECK(Words{}.wire() == "*0\r\n");
}

TEST_CASE("a word may hold any bytes") {
    using namespace std::string_view_literals;
    CHECK(Words{}.add("a\r\n\0b"sv).wire() == "*1\r\n$5\r\na\r\n\0b\r\n"sv);
    CHECK(Words{}.add(std::string(12, 'x')).wire() == "*1\r\n$12\r\nxxxxxxxxxxxx\r\n");
}

TEST_CASE("numbers are written so that the server reads the very same ones") {
    CHECK(Words{}.add(std::int64_t{-7}).wire() == "*1\r\n$2\r\n-7\r\n");
    CHECK(Words{}.add(std::numeric_limits<std::int64_t>::min()).wire() == "*1\r\n$20\r\n-9223372036854775808\r\n");
    CHECK(Words{}.add(0.1).wire() == "*1\r\n$3\r\n0.1\r\n");
}

TEST_CASE("words are appended to words") {
    const Words tail = Words{}.add("b").add("c");
    const Words all = Words{}.add("a").add(tail);
    CHECK(all.count() == 3);
    CHECK(all.wire() == "*3\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n");
}

TEST_CASE("a script is known by the SHA-1 of its text") {
    CHECK(Script{"return 1"}.sha1() == "e0e1f9fabfc9d4800c877a703b823ac0578ff8db");
    CHECK(Script{""}.sha1() == "da39a3ee5e6b4b0d3255bfef95601890afd80709");
}
