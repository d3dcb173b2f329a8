#include <breakwater/circuit_breaker.hpp>
#include <breakwater/rate_limiter.hpp>
#include <breakwater/store/state_bytes.hpp>
#include <catch_shim.hpp>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <tuple>
#include <variant>
#include <vector>

namespace bw = breakwater;
using namespace std::chrono_literals;

namespace {

struct Window {
    std::uint8_t size = 0;
    std::vector<std::uint32_t> slots{};
    struct None {};
    [[no_unique_address]] None nothing{};
    std::variant<std::monostate, std::vector<double>, int> more{};

    static constexpr auto parts(auto& window) {
        return std::tie(window.size, window.slots, window.nothing, window.more);
    }
    friend bool operator==(const Window& a, const Window& b) {
        return a.size == b.size && a.slots == b.slots && a.more == b.more;
    }
};
struct Shared {
    std::shared_ptr<int> count;
};
struct SharedPart {
    Shared part;
    static auto parts(auto& state) { return std::tie(state.part); }
};

static_assert(bw::KeptAsBytes<Window>);
static_assert(bw::KeptAsBytes<int>);
static_assert(bw::KeptAsBytes<bw::CircuitBreakerState<bw::ConsecutiveFailures>>);
static_assert(bw::KeptAsBytes<bw::CircuitBreakerState<bw::FailureRate>>);
static_assert(bw::KeptAsBytes<bw::CircuitBreakerState<bw::AnyTrip>>);
static_assert(!bw::KeptAsBytes<std::string>);
static_assert(!bw::KeptAsBytes<const char*>);
static_assert(!bw::KeptAsBytes<Shared>);
static_assert(!bw::KeptAsBytes<SharedPart>);
static_assert(!bw::KeptAsBytes<std::vector<std::string>>);
static_assert(!bw::KeptAsBytes<std::vector<bool>>);
static_assert(!bw::KeptAsBytes<std::variant<int, std::string>>);

using Machine = bw::CircuitMachine<bw::AnyTrip>;

Machine::Recorded record(Machine::State& state, const Machine::Options& rules, const bw::Tally& tally) {
    const auto ticket = Machine::apply(state, rules, Machine::Admit{}, bw::Instant{1h}).ticket;
    return Machine::apply(state, rules, Machine::Record{ticket, tally}, bw::Instant{1h});
}

}  // namespace

TEST_CASE("a state comes back from its bytes") {
    const Window window{.size = 3, .slots = {1, 2, 3}, .more = std::vector{0.5, 0.25}};
    Window back{.slots = {9}, .more = 7};
    REQUIRE(bw::StateBytes::read(bw::StateBytes::of(window), back));
    CHECK(back == window);
    REQUIRE(bw::StateBytes::read(bw::StateBytes::of(Window{}), back));
    CHECK(back == Window{});
}

TEST_CASE("bytes that are too few or too many are of no state") {
    const std::string bytes = bw::StateBytes::of(Window{.size = 3, .slots = {1, 2, 3}, .more = std::vector{0.5, 0.25}});
    Window back;
    for (std::size_t size = 0; size < bytes.size(); ++size) {
        CAPTURE(size);
        CHECK_FALSE(bw::StateBytes::read(std::string_view{bytes}.substr(0, size), back));
    }
    CHECK_FALSE(bw::StateBytes::read(bytes + "x", back));
    std::string huge = bytes;
    huge.replace(1, 8, 8, '\xff');  // as many slots as there are numbers
    CHECK_FALSE(bw::StateBytes::read(huge, back));
    std::string other = bw::StateBytes::of(Window{});
    other.back() = 3;  // an alternative that there is not
    CHECK_FALSE(bw::StateBytes::read(other, back));
}

TEST_CASE("a circuit that came back from its bytes goes on where it was, whatever the rule counts in") {
    const bw::AnyTrip trip =
        GENERATE(bw::AnyTrip{bw::ConsecutiveFailures{5}},
                 bw::AnyTrip{bw::FailureRate{.ratio = 0.9, .window = bw::CountWindow{70}, .minimum_calls = 5}},
                 bw::AnyTrip{bw::FailureRate{.ratio = 0.9, .window = bw::TimeWindow{10s, 5}, .minimum_calls = 5}},
                 bw::AnyTrip{bw::FailureRate{.ratio = 0.9, .minimum_calls = 5, .slow_call = {.duration = 1s}}});
    const Machine::Options rules = rules_of(bw::CircuitBreakerOptions<>{.trip = trip});
    Machine::State state = Machine::make_state(rules);
    record(state, rules, {.failures = 4, .tail = 4});

    Machine::State back = Machine::make_state(rules_of(bw::CircuitBreakerOptions<>{.trip = bw::never}));
    REQUIRE(bw::StateBytes::read(bw::StateBytes::of(state), back));
    CHECK(trip.counts(back.counted, bw::Instant{1h}) == trip.counts(state.counted, bw::Instant{1h}));
    CHECK(record(back, rules, {.failures = 1, .tail = 1}).verdict == Machine::Verdict::opened);
    CHECK(bw::StateBytes::read(bw::StateBytes::of(back), state));
    CHECK(state.phase == bw::CircuitState::open);
    CHECK(state.open_until == back.open_until);
}

TEST_CASE("other kinds, names, layouts and machines have other keys, and a cell without a name has none") {
    const Machine::Options rules = rules_of(bw::CircuitBreakerOptions<>{});
    const auto key = bw::StateBytes::key<Machine>("circuit", "a", rules);
    CHECK(key == bw::StateBytes::key<Machine>("circuit", "a", rules));
    CHECK(key != bw::StateBytes::key<Machine>("circui", "ta", rules));
    CHECK(key != bw::StateBytes::key<Machine>("circuit", "b", rules));
    CHECK(key !=
          bw::StateBytes::key<Machine>("circuit", "a", rules_of(bw::CircuitBreakerOptions<>{.trip = bw::never})));
    CHECK(key != bw::StateBytes::key<bw::CircuitMachine<bw::ConsecutiveFailures>>("circuit", "a", {}));
    CHECK(bw::StateBytes::key<Machine>("circuit", "", rules).empty());
}
