// expect: rule\.is_settled\(seen\)
#include <breakwater/circuit_breaker.hpp>

#include <string>
#include <string_view>
#include <variant>

namespace bw = breakwater;

struct Rule {
    using State = std::monostate;
    State make_state() const { return {}; }
    bool record(State&, const bw::Tally& tally, bw::Instant) const noexcept { return tally.failures > 0; }
    void clear(State&) const noexcept {}
    bw::TripCounts counts(const State&, bw::Instant) const noexcept { return {}; }
    std::string layout() const { return "rule"; }
    friend bw::Result<void> validate(const Rule&, std::string_view) { return {}; }
};

bw::CircuitBreaker<Rule> breaker{{}};
