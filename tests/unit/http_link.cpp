#include <breakwater/http/link.hpp>
#include <catch_shim.hpp>

#include <string>
#include <string_view>

namespace bw = breakwater;

namespace {

std::string next_of(std::string_view field) {
    return bw::find_link(bw::Headers{{"Link", field}}, "next").value_or("none");
}

}  // namespace

TEST_CASE("the link of a relation type is found among several") {
    CHECK(next_of(R"(<https://api.test/x?page=1>; rel="prev", <https://api.test/x?page=3>; rel="next")") ==
          "https://api.test/x?page=3");
    CHECK(next_of("</a>; rel=next") == "/a");
    CHECK(next_of("< /a >;REL=NeXt") == "/a");
    CHECK(next_of(R"(</a>; rel="last next")") == "/a");
    CHECK(next_of(R"(</a>; rel="nextish")") == "none");
    CHECK(next_of(R"(</a>; rel="prev")") == "none");
    CHECK(next_of("<>; rel=next").empty());
    CHECK(bw::find_link({}, "next") == std::nullopt);
}

TEST_CASE("a comma or semicolon inside a quoted parameter or a target separates nothing") {
    CHECK(next_of(R"(</p>; title="a, b; c \" <d>"; rel=prev, </n,1;2>; rel="next"; title="z")") == "/n,1;2");
}

TEST_CASE("only the first rel of a link counts, and one with an anchor is about something else") {
    CHECK(next_of("</a>; rel=prev; rel=next") == "none");
    CHECK(next_of(R"(</a>; rel=next; anchor="/other", </b>; rel=next)") == "/b");
}

TEST_CASE("several Link headers are one list") {
    const bw::Headers headers{{"Link", "</a>; rel=prev"}, {"link", ""}, {"LINK", "</b>; rel=next"}};
    CHECK(bw::find_link(headers, "next") == "/b");
}

TEST_CASE("odd but legal spelling is understood") {
    CHECK(next_of(" , ,</a> ; ; rel = next ;x, </b>") == "/a");
    CHECK(next_of("</a>; rel; rel=next") == "none");
    CHECK(next_of("</a>;rel=\"next") == "/a");  // the quote is not closed
}

TEST_CASE("what is no link ends the list without harm") {
    for (const std::string_view field :
         {"", "next", "<", "</a", "</a>rel=next", "</a> x; rel=next", "</a>; =next", ";,<", "</a>; rel=\"\\"})
        CHECK(next_of(field) == "none");
    CHECK(next_of("</p>; rel=prev junk, </a>; rel=next") == "/a");
    std::string many;
    for (int i = 0; i < 5'000; ++i) many += "<a>,";
    CHECK(bw::parse_links(many).size() == 1'000);
}
