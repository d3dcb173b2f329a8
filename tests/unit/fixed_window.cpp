#include <breakwater/rate_limiter/any_algorithm.hpp>
#include <breakwater/rate_limiter/fixed_window.hpp>
#include <catch_shim.hpp>
#include <unit/limiter_story.hpp>

#include <cstdint>
#include <string>

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::FixedWindow;
using bw::LimiterState;

namespace {

using test::at;
using test::granted;
using test::never;
using test::refused;
using Story = test::Story<FixedWindow>;

std::string refusal(const FixedWindow& window) {
    const auto result = validate(window, "rate_limit.algorithm");
    return result ? "accepted" : result.error().message();
}

}  // namespace

TEST_CASE("a window grants its permits and refuses the rest until it ends") {
    STATIC_REQUIRE([] {
        Story story{{.permits = 3, .window = 60s}};
        return story.take(2, at(1h + 10s)) == granted && story.take(1, at(1h + 20s)) == granted &&
               story.take(1, at(1h + 20s)) == refused(40s) && story.take(1, at(1h + 60s - 1us)) == refused(1us) &&
               story.take(3, at(1h + 60s)) == granted && story.take(1, at(1h + 60s)) == refused(60s);
    }());
}

TEST_CASE("windows are aligned to the epoch, not to the first request") {
    STATIC_REQUIRE([] {
        Story story{{.permits = 1, .window = 60s}};
        return story.take(1, at(1h + 59s)) == granted && story.take(1, at(1h + 60s)) == granted;
    }());
}

TEST_CASE("permits not taken in a window do not carry over") {
    STATIC_REQUIRE([] {
        Story story{{.permits = 3, .window = 1s}};
        story.take(1, at(1h));
        return story.available(at(1h)) == 2 && story.available(at(1h + 10s)) == 3;
    }());
}

TEST_CASE("more than a window's permits are refused for ever, and a negative number as well") {
    constexpr Story story{{.permits = 3, .window = 1s}};
    STATIC_REQUIRE(story.peek(4, at(1h)) == never);
    STATIC_REQUIRE(story.peek(-1, at(1h)) == never);
    STATIC_REQUIRE(story.peek(3, at(1h)) == granted);
}

TEST_CASE("a refused request and a look take nothing from a window") {
    Story story{{.permits = 3, .window = 1s}};
    story.take(2, at(1h));
    const LimiterState before = story.state;
    CHECK(story.take(2, at(1h)) == refused(1s));
    CHECK(story.take(4, at(1h)) == never);
    CHECK(story.peek(1, at(1h)) == granted);
    CHECK(story.available(at(1h)) == 1);
    CHECK(story.state == before);
}

TEST_CASE("a clock that steps back into an earlier window goes on counting in the later one") {
    STATIC_REQUIRE([] {
        Story story{{.permits = 3, .window = 10s}};
        return story.take(2, at(1h)) == granted && story.take(1, at(1h - 5s)) == granted &&
               story.take(1, at(1h - 5s)) == refused(15s) && story.take(1, at(1h + 9s)) == refused(1s) &&
               story.take(3, at(1h + 10s)) == granted;
    }());
}

TEST_CASE("after a step back beyond tolerance the window counts as used up, the next one as new") {
    Story story{{.permits = 3, .window = 10s}};
    story.take(3, at(10h));
    CHECK(story.take(1, at(10h - 6min)) == refused(6min + 10s));  // within max_pause and tolerance: it waits
    CHECK(story.take(1, at(1h + 1s)) == refused(9s));
    CHECK(story.available(at(1h + 1s)) == 0);
    CHECK(story.take(3, at(1h + 10s)) == granted);
}

TEST_CASE("no window is refilled by a pause; one that begins at its end is new") {
    STATIC_REQUIRE([] {
        Story story{{.permits = 5, .window = 10s}};
        story.take(4, at(1h + 1s));
        story.pause(at(1h + 2s), at(1h + 35s));
        return story.available(at(1h + 35s)) == 1 && story.available(at(1h + 39s)) == 1 &&
               story.available(at(1h + 40s)) == 5;
    }());
    STATIC_REQUIRE([] {
        Story story{{.permits = 5, .window = 10s}};
        story.take(4, at(1h + 1s));
        story.pause(at(1h + 2s), at(1h + 30s));
        return story.available(at(1h + 30s)) == 5;
    }());
    STATIC_REQUIRE([] {
        Story story{{.permits = 5, .window = 10s}};
        story.pause(at(1h), at(1h));
        return story.state == LimiterState{};
    }());
}

TEST_CASE("permits given back count again in their window only") {
    STATIC_REQUIRE([] {
        Story story{{.permits = 5, .window = 10s}};
        story.take(4, at(1h));
        story.give_back(3, at(1h + 1s));
        const bool counted = story.available(at(1h + 1s)) == 4;
        story.give_back(INT64_MAX, at(1h + 1s));
        story.give_back(-7, at(1h + 1s));
        const bool full = story.available(at(1h + 1s)) == 5;
        story.take(4, at(1h + 2s));
        story.give_back(4, at(1h + 10s));
        return counted && full && story.take(5, at(1h + 10s)) == granted && story.available(at(1h + 10s)) == 0;
    }());
}

TEST_CASE("the most permits and the longest and shortest windows count right") {
    constexpr std::int64_t most = std::int64_t{1} << 31;
    STATIC_REQUIRE([] {
        Story story{{.permits = most, .window = 366 * 24h}};
        return story.take(most, at(1h)) == granted && story.take(1, at(1h)) == refused(366 * 24h - 1h) &&
               story.available(at(366 * 24h)) == most;
    }());
    STATIC_REQUIRE([] {  // more than 2^31 and 2^32 windows into the clock's life
        for (const bw::Duration start :
             {bw::Duration{24h * 30}, bw::Duration{24h * 60}, bw::Duration{(1LL << 53) - 5'000}}) {
            Story story{{.permits = 2, .window = 1ms}};
            if (story.take(2, at(start)) != granted || story.take(1, at(start)).granted) return false;
            if (story.take(2, at(start + 1ms)) != granted) return false;
            story.give_back(7, at(start + 1ms));
            if (story.available(at(start + 1ms)) != 2) return false;
        }
        return true;
    }());
}

TEST_CASE("the window's index is exact on both sides of every edge") {
    for (const bw::Duration length : {1'000us, 1'023us, 1'024us, 999'983us, 60'000'000us, 366 * 86'400'000'000us}) {
        const std::int64_t whole = ((std::int64_t{1} << 53) - 1) / length.count();
        for (const std::int64_t index : {std::int64_t{1}, std::int64_t{2}, whole / 3, whole - 1, whole}) {
            const bw::Instant edge{length * index};
            Story story{{.permits = 1, .window = length}};
            CAPTURE(length.count(), index);
            CHECK(story.take(1, edge - 1us) == granted);
            CHECK(story.take(1, edge - 1us) == refused(1us));
            CHECK(story.take(1, edge) == granted);
            CHECK(story.take(1, edge) == refused(length));
        }
    }
}

TEST_CASE("bad fixed window options are named by path, legal range and value") {
    CHECK(refusal({}) == "accepted");
    CHECK(refusal({.permits = 0}) == "rate_limit.algorithm.permits: must be 1 to 2147483648, got 0");
    CHECK(refusal({.permits = 2'147'483'649}) ==
          "rate_limit.algorithm.permits: must be 1 to 2147483648, got 2147483649");
    CHECK(refusal({.window = 999us}) == "rate_limit.algorithm.window: must be 1ms to 366 days, got 999us");
    CHECK(refusal({.window = 367 * 24h}) == "rate_limit.algorithm.window: must be 1ms to 366 days, got 8808h");
    CHECK(refusal({.permits = 2'147'483'648, .window = 366 * 24h}) == "accepted");
}

TEST_CASE("a fixed window chosen at run time decides as the static one does") {
    STATIC_REQUIRE([] {
        constexpr FixedWindow window{.permits = 5, .window = 1s};
        const auto prepared = bw::AnyAlgorithm{window}.prepare();
        LimiterState state;
        Story story{window};
        for (bw::Duration t = 1h; t < 1h + 5s; t += 70ms) {
            if (bw::AnyAlgorithm::take(state, prepared, 2, at(t)) != story.take(2, at(t))) return false;
            if (bw::AnyAlgorithm::available(state, prepared, at(t)) != story.available(at(t))) return false;
        }
        bw::AnyAlgorithm::pause(state, prepared, at(1h + 5s), at(1h + 7s));
        story.pause(at(1h + 5s), at(1h + 7s));
        return state == story.state;
    }());
}
