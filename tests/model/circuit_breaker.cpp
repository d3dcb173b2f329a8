#include <breakwater/circuit_breaker/machine.hpp>
#include <breakwater/random.hpp>
#include <catch_shim.hpp>

#include "seed.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

// The circuit breaker against a model that keeps every outcome and every probe in lists and has neither slots nor
// tokens nor summaries; and against promises that hold whatever the model says.

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::CircuitState;

namespace {

class CircuitDice {
public:
    explicit CircuitDice(std::uint64_t seed) : random_{seed} {}
    std::uint64_t upto(std::uint64_t bound) { return bw::uniform(random_(), bound); }
    bool once_in(std::uint64_t n) { return upto(n - 1) == 0; }
    std::uint32_t from_to(std::uint32_t low, std::uint32_t high) {
        return low + static_cast<std::uint32_t>(upto(high - low));
    }

private:
    bw::Random random_;
};

/// Whether the outcomes since the circuit closed make it open.
struct Outcomes {
    struct Filed {
        std::int64_t at;
        bool failed;
    };
    std::vector<Filed> list;

    bool trips(const bw::ConsecutiveFailures& rule, bw::Instant) const {
        const auto streak = std::find_if(list.rbegin(), list.rend(), [](const Filed& f) { return !f.failed; });
        return static_cast<std::uint64_t>(streak - list.rbegin()) >= rule.count;
    }
    bool trips(const bw::FailureRate& rule, bw::Instant now) const {
        std::vector<Filed> window = list;
        if (const auto* count = std::get_if<bw::CountWindow>(&rule.window)) {
            if (window.size() > count->size) window.erase(window.begin(), window.end() - count->size);
        } else {
            const auto& time = std::get<bw::TimeWindow>(rule.window);
            const std::int64_t slice = time.duration.count() / time.buckets;
            const std::int64_t current = now.time_since_epoch().count() / slice;
            std::erase_if(window, [&](const Filed& f) { return f.at / slice <= current - time.buckets; });
        }
        const auto failures = static_cast<double>(std::ranges::count_if(window, &Filed::failed));
        return window.size() >= rule.minimum_calls && failures / static_cast<double>(window.size()) >= rule.ratio;
    }
    bool trips(const bw::AnyTrip& any, bw::Instant now) const {
        if (const auto* streak = std::get_if<bw::ConsecutiveFailures>(&any.rule())) return trips(*streak, now);
        return trips(std::get<bw::FailureRate>(any.rule()), now);
    }
};

/// What a caller holds, in the model's terms.
struct Held {
    int era = 0;    // the number of transitions before it was handed out
    int probe = 0;  // 0: none
};

template <class Trip>
struct CircuitModel {
    bw::CircuitRules<Trip> rules;
    CircuitState phase = CircuitState::closed;
    int era = 0;
    bw::Instant opened{};
    std::uint32_t successes = 0;
    Outcomes outcomes{};
    struct Probe {
        int id;
        bw::Instant lent;
    };
    std::vector<Probe> probes{};
    int last_probe = 0;

    void enter(CircuitState next, bw::Instant now) {
        phase = next;
        ++era;
        successes = 0;
        probes.clear();
        outcomes.list.clear();
        if (next == CircuitState::open) opened = now;
    }
    void expire(bw::Instant now) {
        std::erase_if(probes, [&](const Probe& p) { return now - p.lent >= rules.probe_lease; });
    }
    /// A ticket, or how long to stay away.
    std::variant<Held, bw::Duration> admit(bw::Instant now) {
        if (phase == CircuitState::open) {
            if (now - opened < rules.recovery.timeout()) return rules.recovery.timeout() - (now - opened);
            enter(CircuitState::half_open, now);
        }
        if (phase == CircuitState::closed) return Held{era, 0};
        expire(now);
        if (probes.size() < rules.half_open_probes) {
            probes.push_back({++last_probe, now});
            return Held{era, last_probe};
        }
        const auto oldest = std::ranges::min_element(probes, {}, &Probe::lent);
        return rules.probe_lease - (now - oldest->lent);
    }
    bool is_current(const Held& held) const {
        return held.era == era &&
               (phase == CircuitState::closed || std::ranges::find(probes, held.probe, &Probe::id) != probes.end());
    }
    /// False if the verdict comes too late.
    bool record(const Held& held, bool failed, bw::Instant now) {
        expire(now);
        if (!is_current(held)) return false;
        if (phase == CircuitState::closed) {
            outcomes.list.push_back({now.time_since_epoch().count(), failed});
            if (failed && outcomes.trips(rules.trip, now)) enter(CircuitState::open, now);
        } else if (failed) {
            enter(CircuitState::open, now);
        } else {
            release(held);
            if (++successes >= rules.success_threshold) enter(CircuitState::closed, now);
        }
        return true;
    }
    void release(const Held& held) {
        if (held.era == era) std::erase_if(probes, [&](const Probe& p) { return p.id == held.probe; });
    }
};

/// A ticket of the machine with what the model calls it.
struct Ticket {
    bw::CircuitTicket ticket;
    Held held;
};

template <class Trip>
class Run {
    using Machine = bw::CircuitMachine<Trip>;

public:
    Run(bw::CircuitRules<Trip> rules, CircuitDice& dice)
        : rules_{rules}, dice_{dice}, state_{Machine::make_state(rules)}, model_{rules} {}

    /// Empty, or what went wrong.
    std::string play(int steps, bool clock_steps_back) {
        for (int step = 0; step < steps; ++step) {
            move_clock(clock_steps_back);
            const auto caller = dice_.upto(callers_.size() - 1);
            std::string wrong = act(callers_[caller], !clock_steps_back);
            if (wrong.empty()) wrong = check_promises(!clock_steps_back);
            if (!wrong.empty()) return wrong + " at step " + std::to_string(step);
        }
        return {};
    }
    int transitions() const { return transitions_; }
    int late() const { return late_; }

private:
    void move_clock(bool back) {
        const auto spans = std::array<bw::Duration, 6>{0us, 1us, 5s, rules_.probe_lease, rules_.recovery.timeout(), 7s};
        bw::Duration span = spans[dice_.upto(5)];
        if (dice_.once_in(2)) span = bw::Duration{static_cast<std::int64_t>(dice_.upto(3'000'000))};
        if (span > 0us && dice_.once_in(8)) span -= 1us;
        if (back && dice_.once_in(10)) span = -bw::Duration{static_cast<std::int64_t>(dice_.upto(200'000'000'000))};
        now_ = std::max(now_ + span, bw::Instant{});
    }

    std::string act(std::optional<Ticket>& caller, bool exact) {
        if (!caller) return admit(caller, exact);
        const auto choice = dice_.upto(9);
        if (choice == 0) {  // forgets to report
            old_ = *caller;
            caller.reset();
            return {};
        }
        if (choice == 1) {
            Machine::apply(state_, rules_, typename Machine::Release{caller->ticket}, now_);
            model_.release(caller->held);
            old_ = *caller;
            caller.reset();
            return {};
        }
        if (choice == 2 && old_) return record(*old_, dice_.once_in(2), exact);  // reports twice, or far too late
        const Ticket mine = *caller;
        old_ = mine;
        caller.reset();
        return record(mine, failing_ ? !dice_.once_in(4) : dice_.once_in(6), exact);
    }

    std::string admit(std::optional<Ticket>& caller, bool exact) {
        if (dice_.once_in(30)) failing_ = !failing_;
        const CircuitState before = state_.phase;
        const auto admission = Machine::apply(state_, rules_, typename Machine::Admit{}, now_);
        const auto expected = model_.admit(now_);
        transitions_ += admission.transition.has_value();
        if (admission.transition.has_value() != (before != state_.phase)) return "a transition was not told";
        if (admission.admitted)
            caller = Ticket{admission.ticket, {}};
        else if (admission.retry_after <= 0s)
            return "a refusal without retry_after";
        else if (admission.retry_after > std::max(rules_.recovery.timeout(), rules_.probe_lease))
            return "a refusal for too long";
        if (admission.state != state_.phase) return "another state than the admission's";
        if (!exact) return {};
        if (state_.phase != model_.phase) return "another state than the model after an admission";
        if (const auto* held = std::get_if<Held>(&expected)) {
            if (!admission.admitted) return "refused what the model admits";
            if (admission.ticket.is_probe() != (held->probe != 0)) return "a probe or not, unlike the model";
            caller->held = *held;
        } else {
            if (admission.admitted) return "admitted what the model refuses";
            if (admission.retry_after != std::get<bw::Duration>(expected)) return "another retry_after";
        }
        return {};
    }

    std::string record(const Ticket& ticket, bool failed, bool exact) {
        const auto before = state_;
        const auto outcome = failed ? bw::Outcome::failure : bw::Outcome::success;
        const auto recorded =
            Machine::apply(state_, rules_, typename Machine::Record{ticket.ticket, tally_of(outcome)}, now_);
        const bool counted = model_.record(ticket.held, failed, now_);
        transitions_ += recorded.transition().has_value();
        late_ += recorded.late();
        if (recorded.late()) {
            if (recorded.transition() || state_.phase != before.phase || state_.generation != before.generation ||
                state_.leases != before.leases || state_.successes != before.successes ||
                state_.open_until != before.open_until ||
                rules_.trip.counts(state_.counted, now_) != rules_.trip.counts(before.counted, now_))
                return "a late result changed something";
            if (state_.late_results != before.late_results + 1) return "a late result was not counted";
        }
        if (recorded.transition() && recorded.transition()->to == CircuitState::open && !failed)
            return "a success opened the circuit";
        if (recorded.transition().has_value() != (before.phase != state_.phase)) return "a transition was not told";
        if (recorded.transition() && state_.generation <= before.generation) return "a generation did not grow";
        if (!exact) return {};
        if (recorded.late() == counted) return "late or not, unlike the model";
        if (state_.phase != model_.phase) return "another state than the model after a result";
        return {};
    }

    std::string check_promises(bool exact) {
        const auto seen = Machine::snapshot(state_, rules_, now_);
        if (seen.probes_in_flight > rules_.half_open_probes) return "too many probes";
        if (exact) {
            model_.expire(now_);
            if (seen.probes_in_flight != model_.probes.size()) return "probes lost or invented";
        }
        // No wedge: callers who come when they are told to, and succeed, close the circuit, whoever never reported.
        auto state = state_;
        bw::Instant now = now_;
        for (std::uint32_t tries = 0; state.phase != CircuitState::closed; ++tries) {
            if (tries > 2 * (rules_.success_threshold + 2)) return "wedged";
            const auto admission = Machine::apply(state, rules_, typename Machine::Admit{}, now);
            if (admission.admitted)
                Machine::apply(state, rules_,
                               typename Machine::Record{admission.ticket, tally_of(bw::Outcome::success)}, now);
            else
                now += admission.retry_after;
        }
        return {};
    }

    bw::CircuitRules<Trip> rules_;
    CircuitDice& dice_;
    typename Machine::State state_;
    CircuitModel<Trip> model_;
    bw::Instant now_{1h};
    std::array<std::optional<Ticket>, 3> callers_{};
    std::optional<Ticket> old_{};
    bool failing_ = true;
    int transitions_ = 0;
    int late_ = 0;
};

bw::FailureRate random_rate(CircuitDice& dice) {
    const std::uint32_t size = dice.from_to(1, 12);
    bw::FailureRate rate{.ratio = 0.1 * dice.from_to(1, 10), .window = bw::CountWindow{size}};
    rate.minimum_calls = dice.from_to(1, size);
    if (dice.once_in(2)) rate.window = bw::TimeWindow{.duration = 20s, .buckets = dice.from_to(1, 6)};
    return rate;
}

template <class Trip>
bw::CircuitRules<Trip> rules_for(Trip trip, CircuitDice& dice) {
    return {.trip = trip,
            .recovery = {60s},
            .half_open_probes = dice.from_to(1, 4),
            .success_threshold = dice.from_to(1, 5),
            .probe_lease = dice.once_in(2) ? bw::Duration{30s} : bw::Duration{100s}};
}

template <class MakeTrip>
void play_against_model(MakeTrip make_trip, bool clock_steps_back) {
    const std::uint64_t seed = test::seed();
    CircuitDice dice{seed};
    int transitions = 0;
    int late = 0;
    for (int round = 0; round < 120; ++round) {
        Run run{rules_for(make_trip(dice), dice), dice};
        const std::string wrong = run.play(400, clock_steps_back);
        CAPTURE(seed, round);
        REQUIRE(wrong == "");
        transitions += run.transitions();
        late += run.late();
    }
    CHECK(transitions > 500);  // or the test has tested little
    CHECK(late > 100);
}

}  // namespace

TEST_CASE("a circuit that counts failures in a row does what the naive model does") {
    play_against_model([](CircuitDice& dice) { return bw::ConsecutiveFailures{dice.from_to(1, 4)}; }, false);
}

TEST_CASE("a circuit with a failure rate does what the naive model does") {
    play_against_model([](CircuitDice& dice) { return random_rate(dice); }, false);
}

TEST_CASE("a circuit with a rule chosen at run time does what the naive model does") {
    play_against_model(
        [](CircuitDice& dice) {
            return dice.once_in(2) ? bw::AnyTrip{random_rate(dice)} : bw::AnyTrip{bw::ConsecutiveFailures{2}};
        },
        false);
}

TEST_CASE("a clock that jumps back and forth neither wedges a circuit nor lets too many probes through") {
    play_against_model([](CircuitDice& dice) { return bw::ConsecutiveFailures{dice.from_to(1, 4)}; }, true);
    play_against_model([](CircuitDice& dice) { return random_rate(dice); }, true);
}
