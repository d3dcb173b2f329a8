// A trip rule of one's own: the circuit opens when errors double against what is normal for this service. A service
// that always fails a little needs no threshold chosen for it; a good one is left alone sooner.
#include <breakwater/circuit_breaker.hpp>
#include <breakwater/pipeline.hpp>

#include <iomanip>
#include <iostream>
#include <string>
#include <string_view>
#include <utility>

namespace bw = breakwater;

/// Compares two moving averages of the error rate, a quick and a slow one (EWMA; Roberts, Technometrics 1959).
struct ErrorsDouble {
    double least = 0.05;  // below this error rate nothing is wrong, whatever is normal

    struct State {
        double normal = 0;  // over about 500 calls
        double recent = 0;  // over about 30
        unsigned calls = 0;
    };
    State make_state() const noexcept { return {}; }

    bool record(State& state, const bw::Tally& tally, bw::Instant) const noexcept {
        for (unsigned i = 0; i < tally.successes; ++i) add(state, 0.0);
        for (unsigned i = 0; i < tally.failures; ++i) add(state, 1.0);
        return tally.failures > 0 && state.calls >= 100 && state.recent >= least && state.recent >= 2 * state.normal;
    }
    bool is_settled(const State&) const noexcept { return false; }  // a success moves the averages
    void clear(State& state) const noexcept { state = {}; }
    bw::TripCounts counts(const State& state, bw::Instant) const noexcept { return {.calls = state.calls}; }
    std::string layout() const { return "errors_double"; }
    friend bw::Result<void> validate(const ErrorsDouble& rule, std::string_view path) {
        if (rule.least > 0 && rule.least < 1) return {};
        return bw::fail(bw::Errc::invalid_options, std::string{path} + ".least: must be above 0 and below 1");
    }

private:
    static void add(State& state, double error) noexcept {
        ++state.calls;
        const double warm = 1.0 / state.calls;  // the average of all, until there are enough
        state.normal += (error - state.normal) * (warm > 1.0 / 500 ? warm : 1.0 / 500);
        state.recent += (error - state.recent) * (warm > 1.0 / 30 ? warm : 1.0 / 30);
    }
};

/// Calls a service of which every `n`th call fails. Returns after how many calls the circuit opened, or 0.
unsigned calls_until_open(unsigned normally, unsigned then) {
    const bw::CircuitBreaker<ErrorsDouble> breaker{{.name = "prices"}};
    const bw::Pipeline guard{breaker};
    const auto call = [&](bool fails) {
        (void)guard.run([&]() -> bw::Result<int> {
            if (fails) return bw::fail(bw::Errc::failure);
            return 1;
        });
        return breaker.state() == bw::CircuitState::open;
    };
    for (unsigned i = 1; i <= 2000; ++i)
        if (call(i % normally == 0)) return 0;  // it must put up with what is normal
    for (unsigned i = 1; i <= 2000; ++i)
        if (call(i % then == 0)) return i;
    return 0;
}

int main() {
    bool good = true;
    for (const auto& [normally, then] : {std::pair{25U, 4U}, {10U, 3U}, {200U, 10U}}) {
        const unsigned calls = calls_until_open(normally, then);
        good = good && calls > 0 && calls < 100;
        std::cout << std::fixed << std::setprecision(1) << "errors go from " << std::setw(4) << 100.0 / normally
                  << " % to " << std::setw(4) << 100.0 / then << " %: the circuit opens after " << calls
                  << " more calls\n";
    }
    const unsigned steady = calls_until_open(25, 25);
    std::cout << "errors stay at 4.0 %: the circuit " << (steady == 0 ? "stays closed" : "opens") << '\n';
    return good && steady == 0 ? 0 : 1;
}
