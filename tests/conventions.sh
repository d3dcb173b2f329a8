#!/bin/sh
# What a compiler cannot check: who may read clocks, what a machine and the core must not know of, and that the faults
# of mutate.sh still fit the code.
set -eu
cd "$(dirname "$0")/../include/breakwater"
failed=0

# forbid SENTENCE REGEX FILES…
forbid() {
    sentence=$1 regex=$2
    shift 2
    found=$(grep -nE "$regex" /dev/null "$@" | grep -vE '^[^:]+:[0-9]+: *//' || true)  # comments may name anything
    if [ -n "$found" ]; then
        printf '%s\n%s\n' "$sentence" "$found"
        failed=1
    fi
}

headers=$(find . -name '*.hpp')
# shellcheck disable=SC2046,SC2086  # no header's name has a space
{
    forbid "Only clock.hpp, tick_clock.hpp and random.hpp may read a clock; everybody else is given the time:" \
        '(steady|system|high_resolution|utc)_clock::now\(|clock_gettime|gettimeofday|[^_a-z]time\((NULL|nullptr|0)\)' \
        $(echo "$headers" | grep -vE '^\./(clock|tick_clock|random)\.hpp$|^\./testing/')

    forbid "A machine takes no lock, starts no thread, reads no clock and speaks to nobody:" \
        '#include <(mutex|shared_mutex|thread|condition_variable|atomic|future|iostream|curl/.*|nlohmann/.*)>|::now\(|std::function' \
        $(echo "$headers" | grep -E '/(machine|token_bucket|fixed_window|sliding_window|trip|window)\.hpp$')

    forbid "breakwater::core needs the standard library only:" \
        '#include <(curl|nlohmann|openssl|hiredis|prometheus|boost|asio)/|#include <breakwater/(breakwater|http|transport|client|resilient_client|cache)(/|\.hpp)' \
        $(echo "$headers" | grep -vE '^\./(asio|breakwater|cache|digest|resilient_client)\.hpp$|^\./(asio|http|transport|client|cache|digest|store/redis)/|^\./testing/(fault_injection|scripted|simulation/transport)|^\./observe/(call_report|json_log|prometheus|span_attributes|spdlog)')

    forbid "A header forces no names on its user:" \
        '^using namespace' $headers
}
../../tests/mutate.sh --places || failed=1
exit $failed
