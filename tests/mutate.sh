#!/usr/bin/env bash
# Applies deliberate faults to the machines, one at a time, and names the test that catches each. A fault that no test
# catches, or whose place in the code is gone, is a failure. Needs the test programs' main object: build `dev` first.
#
# mutate.sh [PATTERN]    only the faults whose description matches
# mutate.sh --places     builds and runs nothing: only looks whether each fault still has its place in the code
set -euo pipefail
cd "$(dirname "$0")/.."
: "${CXX:=g++}"
pattern=${1-}
main=$(find build/dev/tests -name 'test_main.cpp.o' 2>/dev/null | head -1 || true)
[ -n "$main" ] || [ "$pattern" = --places ] || { echo "mutate.sh: build/dev has no tests yet; run tests/run unit" >&2 && exit 2; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
faults=0 survivors=0

compile() { "$CXX" -std=c++23 -O0 -I"$1" -Itests "tests/$2.cpp" "$main" -o "$work/test" -lpthread 2>"$work/errors"; }

# The name of the test that fails: at compile time, by the static assertion in it; else by running.
caught_by() {
    local line
    if ! compile "$work/include" "$1"; then
        line=$(sed -nE "s|^tests/$1.cpp:([0-9]+):.*static assertion failed.*|\1|p" "$work/errors" | head -1)
        [ -n "$line" ] || { cat "$work/errors" >&2 && exit 2; }
        head -n "$line" "tests/$1.cpp" | sed -nE 's/^TEST_CASE\("(.*)"\).*/\1/p' | tail -1
    elif ! timeout 120 "$work/test" --abort >"$work/output"; then
        # Catch2 2 and 3 print the name between two rules of dashes, over several lines if it is long.
        awk '/^-+$/ { rule++; next } rule == 1 { sub(/^ +/, ""); printf "%s%s", sep, $0; sep = " " }' "$work/output"
    fi
}

# fault WHAT HEADER TEST FROM TO
fault() {
    local what=$1 header=include/breakwater/$2 test=$3 from=$4 to=$5 text name
    [ "$pattern" = --places ] || [[ $what =~ $pattern ]] || return 0
    faults=$((faults + 1))
    text=$(<"$header")
    if [[ $text != *"$from"* ]]; then
        printf '%2d  %-62s NOT IN THE CODE\n' $faults "$what"
        survivors=$((survivors + 1))
        return
    fi
    [ "$pattern" != --places ] || return 0
    rm -rf "$work/include"
    cp -r include "$work/include"
    printf '%s\n' "${text/"$from"/"$to"}" >"$work/$header"
    name=$(caught_by "$test")
    [ -n "$name" ] || survivors=$((survivors + 1))
    printf '%2d  %-62s %s\n' $faults "$what" "${name:-SURVIVES}"
}

circuit=circuit_breaker/machine.hpp
every_way=model/circuit_breaker_exhaustive
tables=unit/circuit_breaker_machine
fault "a late result counts" $circuit $every_way 'if (ticket.generation != state.generation) return false;' ''
fault "a dropped probe keeps its slot" $circuit $every_way \
    'if (release.ticket.is_probe()) free_slot(state, release.ticket);' ''
fault "an expired lease never comes back" $circuit $every_way 'if (lease.token == 0 || now >= lease.expires) {' \
    'if (lease.token == 0) {'
fault "leases outlive the half-open circuit" $circuit $every_way 'state.leases = {};' ''
fault "a reported probe keeps its slot" $circuit $every_way 'free_slot(state, record.ticket);' ''
fault "a probe reports for the one that has its slot now" $circuit $every_way \
    'ticket.is_probe() && lease.token == ticket.token' 'ticket.is_probe()'
fault "one probe too many" $circuit $every_way 'slot < options.half_open_probes' 'slot <= options.half_open_probes'
fault "a failed probe does not open the circuit again" $circuit $every_way 'record.tally.failures > 0 || now' 'now'
fault "the first success closes" $circuit $tables 'if (state.successes < options.success_threshold) return {};' ''
fault "a probe one microsecond early" $circuit $tables 'if (now < state.open_until) {' \
    'if (now + Duration{1} < state.open_until) {'
fault "successes of an earlier half-open phase count" $circuit $tables 'state.successes = 0;' ''
fault "a generation is used twice" $circuit $tables 'std::max(state.generation + 1, time)' 'std::max(state.generation, time)'
fault "a clock set back keeps the circuit open" $circuit $tables \
    'state.open_until = not_beyond(options.recovery.longest(), state.open_until, now);' ''
fault "failures before the opening count after it" $circuit $every_way 'state.open_until = now + open_for;
        options.trip.clear(state.counted);' 'state.open_until = now + open_for;'
fault "a force never ends" $circuit unit/circuit_breaker_operation 'state.forced = false;
        if' 'if'
slow=unit/circuit_breaker_slow_calls
fault "a call of exactly the limit is slow" $circuit $slow 'now - record.ticket.began() > slow_after' \
    'now - record.ticket.began() >= slow_after'
fault "a slow probe closes the circuit" $circuit $slow '|| now - began > slow_after(options.trip)' ''
fault "a dropped call stays under way" $circuit $slow \
    'if (release.ticket.is_timed()) end_timed(state, options, release.ticket);' ''
fault "a fast success trips" circuit_breaker/failure_rate.hpp $slow '(tally.successes == 0 && overdue > 0)' 'overdue > 0'
fault "calls under way count too early" circuit_breaker/stragglers.hpp model/stragglers 'slices = 18' 'slices = 16'
fault "a ramp forgets what it refused" circuit_breaker/ramp.hpp unit/circuit_breaker_ramp 'credit_ -= whole_permit;' \
    'credit_ = 0;'
fault "a trip during the ramp is a first one" $circuit unit/circuit_breaker_ramp 'state.ramp = Ramp::begun();' \
    'state.ramp = Ramp::begun(), state.openings = 0;'
fault "a shorter recovery timeout leaves the circuit open" $circuit unit/circuit_breaker_reconfigure \
    'if (!state.forced) state.open_until = std::min(state.open_until, now + options.recovery.longest());' ''
fault "a window that shrinks keeps the oldest" circuit_breaker/window.hpp unit/circuit_breaker_reconfigure \
    'n = std::min(other.filled_, size_); n > 0' 'n = other.filled_, most = n - std::min(n, size_); n > most'
fault "a streak trips one failure late" circuit_breaker/trip.hpp unit/trip 'state.streak >= count' 'state.streak > count'
fault "a ratio equal to the threshold does not trip" circuit_breaker/failure_rate.hpp unit/trip '>= share' '> share'
fault "a count window forgets to take the oldest out" circuit_breaker/window.hpp model/window '--failures_;' ''
fault "a time window keeps a slice too long" circuit_breaker/window.hpp model/window 'now < end_ ? 0' 'now <= end_ ? 0'
fault "a refused request takes permits" rate_limiter/token_bucket.hpp unit/token_bucket \
    'if (after > rate.capacity) [[unlikely]]' 'if (set(state, at + after); after > rate.capacity)'
fault "one permit beyond the burst" rate_limiter/token_bucket.hpp unit/token_bucket 'after > rate.capacity' \
    'after > rate.capacity + rate.cost'
fault "a clock that steps back a little empties the bucket" rate_limiter/token_bucket.hpp model/rate_limiter \
    'if (owed > rate.furthest) {' 'if (owed > rate.capacity) {'
fault "a fixed window is one permit too wide" rate_limiter/fixed_window.hpp unit/fixed_window \
    'seen.taken + wanted <= limit.permits;' 'seen.taken + wanted <= limit.permits + 1;'
budget=retry/budget_machine.hpp
fault "one retry beyond the budget" $budget unit/retry_budget 'if (over <= 0) {' 'if (over <= permit) {'
fault "a floor that gives what no time has earned" $budget model/retry_budget 'debt - passed * options.per_millisecond' \
    'debt - (passed + 2) * options.per_millisecond'
fault "a call gives a whole retry" $budget unit/retry_budget 'spent(state) - options.per_call' 'spent(state) - permit'
fault "a retry that is not made stays spent" retry.hpp unit/retry_budget 'attempts == attempts_' 'false'
forecast=attempt_forecast/machine.hpp
fault "a refused attempt is never tried again" $forecast unit/attempt_forecast \
    'admission.admitted = admission.trial = now >= state.next_trial;' 'admission.admitted = false;'
fault "an attempt that was cut counts as fast" attempt_forecast/running_quantile.hpp unit/running_quantile \
    'std::max(bucket_of(took), samples_ > 0 ? at_ : 0)' 'bucket_of(took)'
fault "a decayed quantile forgets who has no second" attempt_forecast/running_quantile.hpp model/running_quantile \
    'count + odd' 'count'
fault "a trial that was answered late is followed by another" attempt_forecast.hpp unit/attempt_forecast \
    'took <= lane.left_' 'took > Duration{0}'
plain=unit/plain_driver
fault "a plain call that failed was no attempt" pipeline/plain_driver.hpp $plain \
    'result ? leave(policies, noted, result, every) : sizeof...(P)' 'leave(policies, noted, result, every)'
fault "what a plain call has taken is forgotten" pipeline/blocking_driver.hpp $plain \
    'static_cast<typename PolicyAt<I>::Glimpse&>(frame.lane) = std::get<I>(noted);' '(void)noted;'
fault "a plain call that is refused was an attempt" pipeline/plain_driver.hpp $plain 'noted, I, 0, result' 'noted, I, 1, result'
fault "a plain call's success is not counted" circuit_breaker.hpp $plain 'count_success(lane);' '(void)lane;'
fault "a plain call's permit stays taken" bulkhead.hpp $plain 'if (lane.permits_ != nullptr) lane.permits_->give_back();' ''
fault "a linear backoff wraps" backoff.hpp unit/backoff 'base.count() > cap.count() / times' 'false'
fault "a retry begins after max_elapsed" retry.hpp unit/retry '*options.max_elapsed - delay' '*options.max_elapsed'
fault "a paused key is forgotten" rate_limiter/steps.hpp unit/keyed \
    'PauseMachine::is_fresh(store_.peek(pause_), rules_.pause, now)' 'true'
fault "a limiter that took a place is used before that time" keyed/limiter_table.hpp unit/keyed \
    'early > Duration{0} &&' 'false &&'
fault "nobody is told that an index line ran over" keyed/index.hpp unit/keyed_hash 'change(line, 1, one_gone_on);' ''

cell=store/fleet/circuit_cell.hpp
replica=store/fleet/replica.hpp
circuits=unit/fleet_circuit
fault "one process opens the circuit for all" $cell $circuits \
    'if (recorded && recorded->effect != CircuitEffect::isolated) co_return' 'if (recorded) co_return'
fault "what the server has lost stays lost" $cell $circuits 'const bool is_lost = view.generation < known;' \
    'const bool is_lost = false;'
fault "an old view is followed" $replica $circuits 'if (view.generation < state.generation && !follow.always) return false;' ''
fault "a failure that trips waits for the next report" $cell $circuits 'if (counted.would_trip) {' 'if (false) {'
fault "what was missed is not read" store/fleet/world.hpp $circuits 'is_heard_ = are_heard;' 'is_heard_ = are_heard; return;'
fault "an isolated circuit follows at once" $cell $circuits \
    'return is_isolated_.load(std::memory_order_acquire) || !world_->may_answer();' 'return !world_->may_answer();'
fault "a process that ends reports nothing" $cell $circuits '(void)run_here(ask(*spot_, report_of(pending' \
    'if (false) (void)run_here(ask(*spot_, report_of(pending'
fault "a reporter is counted twice" store/fleet/reporters.hpp $circuits 'return e.instance == instance;' \
    'return false;'
fault "what is pending is not counted" $replica $circuits 'add(counted, state.pending);' ''
limits=unit/fleet_rate_limiter
rate=store/fleet/rate_cell.hpp
fault "every process takes the whole limit" store/fleet/share.hpp $limits 'share.cost = whole.cost * among;' 'share.cost = whole.cost;'
fault "what was spent alone is not told" $rate $limits 'if (alone > 0) send(options_,' 'if (false) send(options_,'
fault "a pause leaves leases alone" $rate $limits 'end_lease(options);
            return Grant{.retry_after = paused};' 'return Grant{.retry_after = paused};'
fault "a pause made alone is not told" store/fleet/pause_cell.hpp $limits 'if (left > Duration{0}) {' 'if (false) {'
fault "a lease takes all of the burst" $rate $limits \
    'std::max<std::int64_t>(std::min<std::int64_t>(fair, world_->options().lease), 1)' \
    'std::int64_t{world_->options().lease} + 0 * fair'
fault "the end of a lease ends the next one" store/fleet/lease.hpp $limits 'while (word != 0 && now >= until(word))' \
    'while (word != 0)'

printf '\n%d faults, %d not caught\n' $faults $survivors
[ $survivors = 0 ]
