// Every way in which three callers, with eight events each, and a clock can drive a circuit, for both kinds of trip
// rule, against what must always hold. States that can no longer be told apart are explored once.
#include <breakwater/circuit_breaker/machine.hpp>

#include <catch_shim.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::CircuitState;
using bw::Outcome;

namespace {

constexpr std::size_t callers = 3;
constexpr int events = 8 * callers;
constexpr bw::Instant start{1h};

template <class Trip>
struct World {
    using M = bw::CircuitMachine<Trip>;
    using Rules = bw::CircuitRules<Trip>;

    typename M::State state;
    bw::Instant now = start;
    std::array<std::optional<bw::CircuitTicket>, callers> held{};
    std::vector<bool> counted{};  // the outcomes a closed circuit has seen, oldest first

    explicit World(const Rules& rules) : state(M::make_state(rules)) {}

    std::size_t leases() const {
        return static_cast<std::size_t>(std::ranges::count_if(
            state.leases, [&](const bw::ProbeLease& lease) { return lease.token != 0 && now < lease.expires; }));
    }

    bool is_current(const bw::CircuitTicket& ticket) const {
        if (ticket.generation != state.generation) return false;
        if (state.phase == CircuitState::closed) return true;
        const bw::ProbeLease& lease = state.leases[ticket.slot()];
        return ticket.is_probe() && lease.token == ticket.token && now < lease.expires;
    }

    /// All that decides what can happen from here.
    std::vector<std::int64_t> key() const {
        std::vector<std::int64_t> k{static_cast<std::int64_t>(state.phase), state.successes,
                                    state.phase == CircuitState::open ? (state.open_until - now).count() : 0};
        for (const bw::ProbeLease& lease : state.leases) {
            const bool lent = lease.token != 0 && now < lease.expires;
            k.push_back(lent ? (lease.expires - now).count() : 0);
        }
        std::vector<std::int64_t> tickets;  // the callers are alike
        for (const auto& ticket : held) {
            tickets.push_back(!ticket ? -2
                              : !is_current(*ticket)
                                  ? -1
                                  : static_cast<std::int64_t>(ticket->is_probe() ? 1 + ticket->slot() : 0));
        }
        std::ranges::sort(tickets);
        k.insert(k.end(), tickets.begin(), tickets.end());
        k.insert(k.end(), counted.begin(), counted.end());
        return k;
    }
};

template <class Trip>
class Explorer {
    using W = World<Trip>;
    using M = typename W::M;

public:
    explicit Explorer(bw::CircuitRules<Trip> rules) : rules_{std::move(rules)} {}

    /// What is wrong, and after which events; empty if nothing is.
    std::string run() {
        reach(W{rules_}, 0, "");
        for (; !waiting_.empty() && wrong_.empty(); waiting_.pop_front()) explore(waiting_.front());
        return wrong_;
    }
    std::size_t states() const { return seen_.size(); }
    bool reached(CircuitState phase) const { return phases_.contains(phase); }

private:
    struct Place {
        W world;
        int depth;
        std::string path;
    };

    // Breadth first: a state is met first by its shortest way.
    void reach(W world, int depth, const std::string& path) {
        if (!seen_.insert(world.key()).second) return;
        phases_.insert(world.state.phase);
        if (!recovers(world)) return fail("no number of successes closes it", path);
        if (!gives_all_back(world)) return fail("a permit is lost", path);
        if (depth < events) waiting_.push_back({std::move(world), depth, path});
    }

    void explore(const Place& place) {
        const auto& [world, depth, path] = place;
        for (std::size_t i = 0; i < callers; ++i) {
            if (!world.held[i]) {
                W next = world;
                admit(next, i, path + " admit");
                reach(std::move(next), depth + 1, path + " admit");
                break;  // another caller without a permit would do the same
            }
        }
        for (std::size_t i = 0; i < callers; ++i) {
            if (!world.held[i]) continue;
            for (const auto& [outcome, name] : {std::pair{Outcome::success, " succeed"}, {Outcome::failure, " fail"}}) {
                W next = world;
                record(next, i, outcome, path + name);
                reach(std::move(next), depth + 1, path + name);
            }
            W next = world;
            release(next, i);
            reach(std::move(next), depth + 1, path + " drop");
        }
        for (const bw::Duration step : {rules_.probe_lease / 2, rules_.probe_lease, rules_.recovery.timeout()}) {
            W next = world;
            next.now += step;
            reach(std::move(next), depth + 1, path + " wait");
        }
    }

    void admit(W& world, std::size_t caller, const std::string& path) {
        const std::size_t lent = world.leases();
        const auto before = world.state;
        const auto admission = M::apply(world.state, rules_, typename M::Admit{}, world.now);
        forget_if_new(world, before.generation);
        if (world.leases() > rules_.half_open_probes) fail("more probes than allowed", path);
        if (admission.admitted) world.held[caller] = admission.ticket;
        const bool free = lent < rules_.half_open_probes;
        const bool due = before.phase == CircuitState::open && world.now >= before.open_until;
        const bool should =
            before.phase == CircuitState::closed || due || (before.phase == CircuitState::half_open && free);
        if (admission.admitted != should) fail(should ? "a wrong refusal" : "a wrong admission", path);
        if (admission.admitted && admission.ticket.is_probe() != (world.state.phase == CircuitState::half_open))
            fail("a permit of the wrong kind", path);
        if (!admission.admitted && admission.retry_after <= bw::Duration{0}) fail("a refusal without a wait", path);
    }

    void record(W& world, std::size_t caller, Outcome outcome, const std::string& path) {
        const bw::CircuitTicket ticket = *std::exchange(world.held[caller], std::nullopt);
        const bool current = world.is_current(ticket);
        const auto before = world.state;
        const auto counts = rules_.trip.counts(before.counted, world.now);
        const auto recorded = M::apply(world.state, rules_, typename M::Record{ticket, tally_of(outcome)}, world.now);
        if (recorded.late() == current) fail("late or not", path);
        if (!current) {
            if (world.state.phase != before.phase || world.state.generation != before.generation ||
                world.state.leases != before.leases || world.state.successes != before.successes ||
                rules_.trip.counts(world.state.counted, world.now) != counts)
                fail("a late result changed something", path);
            return;
        }
        if (outcome == Outcome::success && world.state.phase == CircuitState::open) fail("a success opened it", path);
        if (before.phase == CircuitState::half_open && outcome == Outcome::failure &&
            world.state.phase != CircuitState::open)
            fail("a failed probe did not open it again", path);
        if (recorded.verdict == M::Verdict::closed &&
            rules_.trip.counts(world.state.counted, world.now) != bw::TripCounts{})
            fail("it closed with outcomes from before", path);
        if (before.phase == CircuitState::closed && !recorded.transition())
            world.counted.push_back(outcome == Outcome::failure);
        forget_if_new(world, before.generation);
    }

    void release(W& world, std::size_t caller) {
        const bw::CircuitTicket ticket = *std::exchange(world.held[caller], std::nullopt);
        M::apply(world.state, rules_, typename M::Release{ticket}, world.now);
    }

    void forget_if_new(W& world, std::uint64_t generation) {
        if (world.state.generation == generation) return;
        if (world.state.generation < generation) fail("generations must grow", "");
        world.counted.clear();
    }

    /// From every state, waiting and then succeeding closes the circuit, whatever the permits out there do.
    bool recovers(W world) const {
        world.now += rules_.recovery.timeout() + rules_.probe_lease;
        for (std::uint32_t i = 0; i < rules_.success_threshold; ++i) {
            if (world.state.phase == CircuitState::closed) return true;
            const auto admission = M::apply(world.state, rules_, typename M::Admit{}, world.now);
            if (!admission.admitted) return false;
            M::apply(world.state, rules_, typename M::Record{admission.ticket, tally_of(Outcome::success)}, world.now);
        }
        return world.state.phase == CircuitState::closed;
    }

    /// When every permit has been dropped or has expired, a half-open circuit has all its slots again.
    bool gives_all_back(W world) const {
        for (const auto& ticket : world.held)
            if (ticket) M::apply(world.state, rules_, typename M::Release{*ticket}, world.now);
        return world.leases() == 0;
    }

    void fail(std::string what, const std::string& path) {
        if (wrong_.empty()) wrong_ = std::move(what) + ", after:" + path;
    }

    bw::CircuitRules<Trip> rules_;
    std::deque<Place> waiting_;
    std::set<std::vector<std::int64_t>> seen_;
    std::set<CircuitState> phases_;
    std::string wrong_;
};

template <class Trip>
void check_everything(const Trip& trip) {
    for (std::uint32_t probes = 1; probes <= 2; ++probes) {
        for (std::uint32_t successes = 1; successes <= 2; ++successes) {
            CAPTURE(probes, successes);
            Explorer<Trip> explorer{{.trip = trip,
                                     .recovery = {60s},
                                     .half_open_probes = probes,
                                     .success_threshold = successes,
                                     .probe_lease = 30s}};
            CHECK(explorer.run() == "");
            CHECK(explorer.states() > 1'000);
            CHECK(explorer.reached(CircuitState::open));
            CHECK(explorer.reached(CircuitState::half_open));
        }
    }
}

}  // namespace

TEST_CASE("however three callers interleave eight events each, a circuit of consecutive failures keeps its promises") {
    check_everything(bw::ConsecutiveFailures{2});
}

TEST_CASE("however three callers interleave eight events each, a circuit of a failure rate keeps its promises") {
    check_everything(bw::FailureRate{.ratio = 0.5, .window = bw::CountWindow{3}, .minimum_calls = 2});
}
