#!/usr/bin/env bash
# What including us costs: the least CPU time of five runs of the compiler's front end, in ms.
set -euo pipefail
TIMEFORMAT=%U
cd "$(dirname "$0")/../.."
: "${CXX:=g++}"
source=$(mktemp)
trap 'rm -f "$source"' EXIT

# least_ms INCLUDES…
least_ms() {
    printf '#include <%s>\n' "$@" >"$source"
    for _ in 1 2 3 4 5; do
        { time "$CXX" -std=c++23 -fsyntax-only -Iinclude -x c++ "$source" 2>&3; } 3>&2 2>&1 || return
    done | sort -n | awk 'NR == 1 { printf "%d", $1 * 1000 }'
}

breaker=$(least_ms breakwater/circuit_breaker.hpp)
required=$(least_ms curl/curl.h nlohmann/json.hpp)
umbrella=$(least_ms curl/curl.h nlohmann/json.hpp breakwater/breakwater.hpp)
echo "curl/curl.h and nlohmann/json.hpp alone: $required ms"
# These lines are for tests/run, as those of print_figure in figure.hpp.
echo "figure | ms to include circuit_breaker.hpp | <= 800 | $breaker"
echo "figure | ms to include breakwater.hpp, above curl and json | <= 1500 | $((umbrella - required))"
