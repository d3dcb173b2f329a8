#include <breakwater/rate_limiter/any_algorithm.hpp>
#include <breakwater/rate_limiter/machine.hpp>
#include <breakwater/rate_limiter/sliding_window.hpp>
#include <catch_shim.hpp>
#include <unit/limiter_story.hpp>

#include <cstdint>
#include <string>

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::LimiterState;
using bw::SlidingWindow;

namespace {

using test::at;
using test::granted;
using test::never;
using test::refused;
using Story = test::Story<SlidingWindow>;

static_assert(bw::RateAlgorithm<SlidingWindow>);
static_assert(bw::ReservableAlgorithm<SlidingWindow>);

std::string refusal(const SlidingWindow& limit) {
    const auto result = validate(limit, "rate_limit.algorithm");
    return result ? "accepted" : result.error().message();
}

}  // namespace

TEST_CASE("what the previous window took fades evenly while the next one passes") {
    STATIC_REQUIRE([] {
        Story story{{.permits = 10, .window = 10s}};
        return story.take(10, at(1h)) == granted && story.take(1, at(1h + 4s)) == refused(7s) &&
               story.available(at(1h + 10s)) == 0 && story.take(1, at(1h + 11s - 1us)) == refused(1us) &&
               story.available(at(1h + 11s)) == 1 && story.available(at(1h + 15s)) == 5 &&
               story.take(6, at(1h + 15s)) == refused(1s) && story.available(at(1h + 20s)) == 10;
    }());
}

TEST_CASE("all permits together must wait until nothing of the previous window is left") {
    STATIC_REQUIRE([] {
        Story story{{.permits = 10, .window = 10s}};
        story.take(1, at(1h));
        return story.take(10, at(1h)) == refused(20s) && story.take(10, at(1h + 20s - 1us)) == refused(1us) &&
               story.take(10, at(1h + 20s)) == granted;
    }());
}

TEST_CASE("a part of a permit counts as a whole one") {
    STATIC_REQUIRE([] {
        Story story{{.permits = 3, .window = 1ms}};
        story.take(3, at(1h));  // 3 × 667/1000 is more than 2, 3 × 666/1000 is less
        return story.available(at(1h + 1'333us)) == 0 && story.available(at(1h + 1'334us)) == 1 &&
               story.take(1, at(1h)) == refused(1'334us);
    }());
}

TEST_CASE("one permit short of twice the limit is the most in an interval as long as the window") {
    STATIC_REQUIRE([] {
        Story story{{.permits = 10, .window = 10s}};
        return story.take_all(at(1h + 10s - 1us)) == 10 && story.take_all(at(1h + 10s)) == 0 &&
               story.take_all(at(1h + 20s - 2us)) == 9;
    }());
}

TEST_CASE("evenly spread requests are all granted up to one permit below the limit") {
    Story story{{.permits = 10, .window = 10s}};
    for (bw::Duration t{}; t < 100s; t += 1'111'112us) CHECK(story.take(1, at(1h + t)) == granted);
}

TEST_CASE("more than the permits of a sliding window are refused for ever, and a negative number as well") {
    constexpr Story story{{.permits = 3, .window = 1s}};
    STATIC_REQUIRE(story.peek(4, at(1h)) == never);
    STATIC_REQUIRE(story.peek(-1, at(1h)) == never);
    STATIC_REQUIRE(story.peek(3, at(1h)) == granted);
}

TEST_CASE("a refused request and a look change nothing in a sliding window") {
    Story story{{.permits = 3, .window = 1s}};
    story.take(3, at(1h));
    const LimiterState before = story.state;
    CHECK_FALSE(story.take(2, at(1h + 1s)).granted);
    CHECK(story.take(4, at(1h + 1s)) == never);
    CHECK(story.peek(1, at(1h + 1'900ms)) == granted);
    CHECK(story.available(at(1h + 1'900ms)) == 2);
    CHECK(story.state == before);
}

TEST_CASE("a clock that steps back finds the later window as at its beginning") {
    STATIC_REQUIRE([] {
        Story story{{.permits = 3, .window = 10s}};
        return story.take(2, at(1h + 1s)) == granted && story.take(1, at(1h - 5s)) == granted &&
               story.take(1, at(1h - 5s)) == refused(15s + 3'333'334us) && story.available(at(1h)) == 0;
    }());
}

TEST_CASE("after a step back beyond tolerance the sliding window counts as used up, and fades from the next one on") {
    Story story{{.permits = 3, .window = 10s}};
    story.take(3, at(10h));
    CHECK(story.take(1, at(10h - 6min)) == refused(6min + 10s + 3'333'334us));  // within max_pause and tolerance
    CHECK(story.take(1, at(1h + 1s)) == refused(9s + 3'333'334us));
    CHECK(story.available(at(1h + 1s)) == 0);
    CHECK(story.available(at(1h + 15s)) == 1);
    CHECK(story.available(at(1h + 20s)) == 3);
}

TEST_CASE("nothing fades during a pause") {
    STATIC_REQUIRE([] {
        Story story{{.permits = 10, .window = 10s}};
        story.take(10, at(1h));
        story.pause(at(1h + 15s), at(1h + 37s));
        return story.available(at(1h + 37s)) == 5 && story.available(at(1h + 40s)) == 5 &&
               story.available(at(1h + 44s)) == 7 && story.available(at(1h + 50s)) == 10;
    }());
    STATIC_REQUIRE([] {  // until the very end of a window
        Story story{{.permits = 10, .window = 10s}};
        story.take(10, at(1h));
        story.pause(at(1h + 15s), at(1h + 40s));
        return story.available(at(1h + 40s)) == 5 && story.available(at(1h + 44s)) == 7;
    }());
    STATIC_REQUIRE([] {
        Story story{{.permits = 10, .window = 10s}};
        story.pause(at(1h), at(1h));
        return story.state == LimiterState{};
    }());
}

TEST_CASE("permits given back to a sliding window are as if never taken") {
    STATIC_REQUIRE([] {
        Story story{{.permits = 10, .window = 10s}};
        story.take(2, at(1h));
        const LimiterState before = story.state;
        story.take(3, at(1h + 1s));
        story.give_back(3, at(1h + 1s));
        return story.state == before;
    }());
    STATIC_REQUIRE([] {  // in the next window
        Story story{{.permits = 10, .window = 10s}};
        story.take(4, at(1h));
        story.give_back(3, at(1h + 10s));
        return story.available(at(1h + 10s)) == 9;
    }());
    STATIC_REQUIRE([] {
        Story story{{.permits = 10, .window = 10s}};
        story.give_back(1, at(1h));
        const bool fresh = story.state == LimiterState{};
        story.take(4, at(1h));
        story.give_back(-7, at(1h));
        const bool same = story.available(at(1h)) == 6;
        story.give_back(INT64_MAX, at(1h));
        return fresh && same && story.available(at(1h)) == 10;
    }());
}

TEST_CASE("the most permits and the longest and shortest sliding windows count right") {
    STATIC_REQUIRE([] {
        constexpr std::int64_t most = (std::int64_t{1} << 27) - 1;
        Story story{{.permits = most, .window = 366 * 24h}};
        return story.take(most, at(1h)) == granted && story.take(most, at(1h)) == refused(2 * 366 * 24h - 1h) &&
               story.available(at(366 * 24h)) == 0 && story.available(at(366 * 36h)) == most / 2;
    }());
    STATIC_REQUIRE([] {
        for (const bw::Duration start : {bw::Duration{24h * 30}, bw::Duration{(1LL << 53) - 5'000}}) {
            const bw::Instant edge{start - start % 1'000us};
            Story story{{.permits = 16'383, .window = 1ms}};
            if (story.take(16'383, edge) != granted || story.take(1, edge) != refused(1'001us)) return false;
            if (story.take(8'191, edge + 1'500us) != granted || story.available(edge + 1'500us) != 0) return false;
        }
        return true;
    }());
}

TEST_CASE("an index that has come round again is found used up at worst") {
    // 19 bits for each count leave 25 for the index: it repeats after 2^25 s.
    constexpr bw::Duration round = std::chrono::seconds{1 << 25};
    Story story{{.permits = 524'287, .window = 1s}};
    story.take(100, at(1h));
    CHECK(story.available(at(1h + round / 2 - 1s)) == 524'287);
    CHECK(story.available(at(1h + round / 2 + 1s)) == 0);
    CHECK(story.available(at(1h + round)) == 524'187);
    CHECK(story.available(at(1h + round + 2s)) == 524'287);
}

TEST_CASE("bad sliding window options are named by path, legal range and value") {
    CHECK(refusal({}) == "accepted");
    CHECK(refusal({.permits = 0}) == "rate_limit.algorithm.permits: must be 1 to 524287 at this window, got 0");
    CHECK(refusal({.permits = 524'287}) == "accepted");
    CHECK(refusal({.permits = 524'288}) ==
          "rate_limit.algorithm.permits: must be 1 to 524287 at this window, got 524288");
    CHECK(refusal({.permits = 16'384, .window = 1ms}) ==
          "rate_limit.algorithm.permits: must be 1 to 16383 at this window, got 16384");
    CHECK(refusal({.permits = 134'217'728, .window = 366 * 24h}) ==
          "rate_limit.algorithm.permits: must be 1 to 134217727 at this window, got 134217728");
    CHECK(refusal({.window = 999us}) == "rate_limit.algorithm.window: must be 1ms to 366 days, got 999us");
    CHECK(refusal({.window = 367 * 24h}) == "rate_limit.algorithm.window: must be 1ms to 366 days, got 8808h");
}

TEST_CASE("a sliding window chosen at run time decides as the static one does") {
    STATIC_REQUIRE([] {
        constexpr SlidingWindow limit{.permits = 5, .window = 1s};
        const auto prepared = bw::AnyAlgorithm{limit}.prepare();
        LimiterState state;
        Story story{limit};
        for (bw::Duration t = 1h; t < 1h + 5s; t += 70ms) {
            if (bw::AnyAlgorithm::take(state, prepared, 2, at(t)) != story.take(2, at(t))) return false;
            if (bw::AnyAlgorithm::available(state, prepared, at(t)) != story.available(at(t))) return false;
        }
        bw::AnyAlgorithm::pause(state, prepared, at(1h + 5s), at(1h + 7s));
        story.pause(at(1h + 5s), at(1h + 7s));
        return state == story.state;
    }());
    CHECK(validate(bw::AnyAlgorithm{SlidingWindow{.permits = 0}}, "x").error().message() ==
          "x.permits: must be 1 to 524287 at this window, got 0");
}

TEST_CASE("sliding windows whose words are packed alike share a layout") {
    CHECK(layout_of(SlidingWindow{.permits = 100}) == "sliding_window:1000000us/7b");
    CHECK(layout_of(SlidingWindow{.permits = 127}) == layout_of(SlidingWindow{.permits = 100}));
    CHECK(layout_of(SlidingWindow{.permits = 128}) != layout_of(SlidingWindow{.permits = 100}));
    CHECK(layout_of(bw::AnyAlgorithm{SlidingWindow{}}) == layout_of(SlidingWindow{}));
}
