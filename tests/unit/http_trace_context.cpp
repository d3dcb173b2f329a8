#include <breakwater/http/trace_context.hpp>

#include <breakwater/http/request.hpp>

#include <catch_shim.hpp>

#include <set>
#include <string>
#include <string_view>

namespace bw = breakwater;
using bw::Sampled;
using bw::TraceContext;

namespace {

const std::string trace_id = "0af7651916cd43dd8448eb211c80319c";
const std::string span_id = "b7ad6b7169203331";
const std::string sampled = "00-" + trace_id + "-" + span_id + "-01";

std::string why_not(std::string_view traceparent) {
    const auto parsed = TraceContext::parse(traceparent);
    if (parsed) return "";
    CHECK(parsed.error().code() == bw::Errc::invalid_request);
    return std::string{parsed.error().detail()};
}
/// What is sent of it; "none" if it is refused.
std::string sent(std::string_view traceparent) {
    const auto parsed = TraceContext::parse(traceparent);
    return parsed ? std::string{parsed->traceparent()} : "none";
}
std::string state(std::string_view tracestate) { return TraceContext::parse(sampled, tracestate)->tracestate(); }

/// "a01=…" of so many characters.
std::string member(int number, std::size_t length) {
    std::string text = (number < 10 ? "a0" : "a") + std::to_string(number) + "=";
    return text.append(length - text.size(), 'x');
}

}  // namespace

TEST_CASE("a trace context is read and sent on as it came") {
    const auto parsed = TraceContext::parse(sampled, "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE");
    REQUIRE(parsed);
    CHECK(parsed->trace_id() == trace_id);
    CHECK(parsed->span_id() == span_id);
    CHECK(parsed->sampled() == Sampled::yes);
    CHECK(parsed->traceparent() == sampled);
    CHECK(parsed->tracestate() == "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE");
    CHECK(TraceContext::parse("00-" + trace_id + "-" + span_id + "-00")->sampled() == Sampled::no);
    CHECK(sent(" \t" + sampled + "\t ") == sampled);
}

TEST_CASE("a traceparent that is not to the letter is refused, whatever it holds") {
    const std::string ids = trace_id + "-" + span_id;
    for (const std::string& wrong : {std::string{},
                                     std::string{"00"},
                                     std::string{"-"},
                                     std::string(55, '-'),
                                     std::string(55, '0'),
                                     ids,
                                     "00-" + ids,
                                     "00-" + ids + "-",
                                     "00-" + ids + "-1",
                                     "00-" + ids + "-001",
                                     "00-" + ids + "-01-",
                                     "00-" + ids + "-01-more",
                                     "00-" + ids + "-.1",
                                     "00-" + ids + "-0g",
                                     ".0-" + ids + "-01",
                                     "0-" + ids + "-01",
                                     "000-" + ids + "-01",
                                     "0A-" + ids + "-01",
                                     "00_" + ids + "-01",
                                     "00-" + trace_id + "_" + span_id + "-01",
                                     "00-" + trace_id + "0-" + span_id + "-01",
                                     "00-" + trace_id.substr(1) + "-" + span_id + "0-01",
                                     "00-0AF7651916CD43DD8448EB211C80319C-" + span_id + "-01",
                                     "00-" + trace_id + "-B7AD6B7169203331-01",
                                     "00-" + trace_id.substr(1) + ".-" + span_id + "-01",
                                     sampled + "," + sampled,
                                     sampled.substr(0, 54) + std::string(1, '\0')}) {
        CAPTURE(wrong);
        CHECK(why_not(wrong) == "traceparent: malformed");
    }
}

TEST_CASE("ids of zeros only and version ff are refused") {
    CHECK(why_not("00-00000000000000000000000000000000-" + span_id + "-01") == "traceparent: the trace id is zero");
    CHECK(why_not("00-" + trace_id + "-0000000000000000-01") == "traceparent: the parent id is zero");
    CHECK(why_not("ff-" + trace_id + "-" + span_id + "-01") == "traceparent: of the invalid version ff");
}

TEST_CASE("of a later version as much is read as is known, and the known version is sent on") {
    const std::string ids = trace_id + "-" + span_id;
    CHECK(sent("cc-" + ids + "-01") == sampled);
    CHECK(sent("01-" + ids + "-01-what-the-future-will-be-like") == sampled);
    CHECK(sent("01-" + ids + "-01-") == sampled);
    CHECK(sent("fe-" + ids + "-ff") == sampled);  // only the first flag is known
    CHECK(sent("fe-" + ids + "-fe") == "00-" + ids + "-00");
    CHECK(sent("cc-" + ids + "-01.what") == "none");
    CHECK(sent("cc-" + ids + "-0") == "none");
}

TEST_CASE("the flags sampled and random go on, unknown ones do not") {
    const std::string ids = "00-" + trace_id + "-" + span_id + "-";
    CHECK(sent(ids + "02") == ids + "02");
    CHECK(sent(ids + "03") == ids + "03");
    CHECK(sent(ids + "ff") == ids + "03");
    CHECK(sent(ids + "fc") == ids + "00");
}

TEST_CASE("the members of a tracestate go on in their order, without what stands around them") {
    CHECK(state("foo=1 \t , \t bar=2, \t baz=3") == "foo=1,bar=2,baz=3");
    CHECK(state("\t foo= 1 \t") == "foo= 1");  // leading blanks are of the value
    CHECK(state(",foo=1,, ,bar=2,") == "foo=1,bar=2");
    CHECK(state("foo@=1,2-_*/@=2") == "foo@=1,2-_*/@=2");
    CHECK(state(std::string(256, 'z') + "=1") == std::string(256, 'z') + "=1");
    std::string value;
    for (char c = ' '; c <= '~'; ++c)
        if (c != ',' && c != '=') value += c;
    CHECK(state("all=" + value) == "all=" + value);
    CHECK(state("foo=1,foo=2") == "foo=1,foo=2");
    CHECK(state("").empty());
    CHECK(state(" ,\t,").empty());
}

TEST_CASE("a malformed tracestate is dropped whole, and the traceparent holds") {
    for (const std::string& wrong :
         {std::string{"foo"}, std::string{"=1"}, std::string{"foo="}, std::string{"foo =1"}, std::string{"FOO=1"},
          std::string{"foo.bar=1"}, std::string{"@foo=1"}, std::string{"_foo=1"}, std::string{"foo=bar=baz"},
          std::string{"bar=3,foo="}, std::string{"foo=1\r\nX-A: 1"}, std::string{"foo=1\tx"}, std::string{"foo=\x7f"},
          std::string{"foo=\xc3\xa4"}, std::string(257, 'z') + "=1", "foo=" + std::string(257, 'x')}) {
        CAPTURE(wrong);
        CHECK(state("good=1," + wrong).empty());
    }
}

TEST_CASE("a tracestate has 32 members at most") {
    std::string all;
    for (int i = 1; i <= 32; ++i) all.append(i > 1 ? "," : "").append(member(i, 5));
    CHECK(state(all) == all);
    CHECK(state(all + ",").size() == all.size());
    CHECK(state(all + ",b=1").empty());
}

TEST_CASE("of a tracestate above 512 characters long members go first, then the last ones") {
    const std::string exact = member(1, 200) + "," + member(2, 200) + "," + member(3, 110);
    REQUIRE(exact.size() == 512);
    CHECK(state(exact) == exact);
    CHECK(state(exact + "x") == member(1, 200) + "," + member(3, 111));  // of the long ones the last
    CHECK(state(member(1, 129) + "," + member(2, 128) + "," + member(3, 128) + "," + member(4, 128)) ==
          member(2, 128) + "," + member(3, 128) + "," + member(4, 128));
    std::string all = member(1, 100);
    for (int i = 2; i <= 8; ++i) all += "," + member(i, 100);
    CHECK(state(all) == all.substr(0, 5 * 101 - 1));
}

TEST_CASE("a child is another span of the same trace") {
    const TraceContext parent = *TraceContext::parse(sampled, "rojo=1");
    const TraceContext child = parent.child(0xf067aa0ba902b7);
    CHECK(child.traceparent() == "00-" + trace_id + "-00f067aa0ba902b7-01");
    CHECK(child.tracestate() == "rojo=1");
    CHECK(parent.child(0x1).span_id() == "0000000000000001");
    CHECK(parent.child(0xffffffffffffffff).span_id() == "ffffffffffffffff");
}

TEST_CASE("a trace that is begun has random ids, and says so") {
    std::set<std::string> ids;
    for (int i = 0; i < 100; ++i) {
        const TraceContext begun = TraceContext::begin(i % 2 == 0 ? Sampled::yes : Sampled::no);
        CHECK(begun.sampled() == (i % 2 == 0 ? Sampled::yes : Sampled::no));
        CHECK(begun.traceparent().ends_with(i % 2 == 0 ? "-03" : "-02"));
        CHECK(sent(begun.traceparent()) == begun.traceparent());
        CHECK(begun.tracestate().empty());
        ids.emplace(begun.trace_id());
        ids.emplace(begun.span_id());
    }
    CHECK(ids.size() == 200);
}

TEST_CASE("a request says once where it stands in a trace") {
    bw::Headers headers{{"TraceParent", "x"}, {"Tracestate", "a=1"}, {"tracestate", "b=2"}, {"Accept", "*/*"}};
    TraceContext::parse(sampled, "rojo=1")->set_in(headers);
    CHECK(headers == bw::Headers{{"traceparent", sampled}, {"Accept", "*/*"}, {"tracestate", "rojo=1"}});
    TraceContext::parse(sampled)->set_in(headers);
    CHECK(headers == bw::Headers{{"traceparent", sampled}, {"Accept", "*/*"}});
}
