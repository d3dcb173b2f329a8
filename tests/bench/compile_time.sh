#!/bin/sh
# What including us costs: the median of five runs of the compiler's front end, in ms.
set -eu
cd "$(dirname "$0")/../.."
: "${CXX:=g++}"
source=$(mktemp)
trap 'rm -f "$source"' EXIT

# median_ms INCLUDES…
median_ms() {
    printf '#include <%s>\n' "$@" >"$source"
    for _ in 1 2 3 4 5; do
        start=$(date +%s%N)
        "$CXX" -std=c++23 -fsyntax-only -Iinclude -x c++ "$source" || return
        echo $((($(date +%s%N) - start) / 1000000))
    done | sort -n | sed -n 3p
}

breaker=$(median_ms breakwater/circuit_breaker.hpp)
required=$(median_ms curl/curl.h nlohmann/json.hpp)
umbrella=$(median_ms curl/curl.h nlohmann/json.hpp breakwater/breakwater.hpp)
printf '%-52s %6s ms   reach: 800\n' "breakwater/circuit_breaker.hpp" "$breaker"
printf '%-52s %6s ms\n' "curl/curl.h + nlohmann/json.hpp" "$required"
printf '%-52s %6s ms   reach: 1500\n' "  breakwater/breakwater.hpp on top of these" $((umbrella - required))
