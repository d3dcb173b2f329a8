#!/usr/bin/env bash
# Runs the fuzzers, two at a time: tests/fuzz.sh SECONDS [NAME…]. Build the preset `fuzz` first.
#
# Inputs that reach new code are kept in build/fuzz/corpus for the next run. One that violates a property is kept in
# build/fuzz/finds: make it small (-minimize_crash=1), move it to tests/fuzz/corpus/NAME, and write the unit test first.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=$1
shift
# shellcheck disable=SC2046  # words
[ $# -gt 0 ] || set -- $(cd tests/fuzz && basename -s .cpp -- *.cpp)
export ASAN_OPTIONS=${ASAN_OPTIONS-detect_stack_use_after_return=1} UBSAN_OPTIONS=${UBSAN_OPTIONS-print_stacktrace=1}
finds=build/fuzz/finds
mkdir -p "$finds"

# fuzz NAME: one line, and if it found something what that is.
fuzz() {
    local name=$1 log=build/fuzz/$1.log status=passed
    mkdir -p "build/fuzz/corpus/$name"
    "build/fuzz/tests/fuzz/$name" -max_total_time="$seconds" -max_len=2048 -timeout=10 -rss_limit_mb=2048 \
        -print_final_stats=1 -artifact_prefix="$finds/$name-" "build/fuzz/corpus/$name" "tests/fuzz/corpus/$name" \
        >"$log" 2>&1 || status=FAILED
    printf '%-20s %s, %s runs\n' "$name" $status \
        "$(sed -nE 's/^stat::number_of_executed_units: +//p; s/^#([0-9]+).*/\1/p' "$log" | tail -1)"
    [ $status = passed ] || { grep -aE 'violated:|ERROR:|runtime error:|exception|Test unit written' "$log" && false; }
}
export -f fuzz
export seconds finds

failed=$(mktemp)
trap 'rm -f "$failed"' EXIT
export failed
# shellcheck disable=SC2016  # for the other shell
printf '%s\n' "$@" | xargs -P 2 -I {} bash -c 'fuzz {} || echo {} >>"$failed"'
failures=$(wc -l <"$failed")
printf '%d%% tests passed, %d tests failed out of %d\n' $((($# - failures) * 100 / $#)) "$failures" $#
[ "$failures" = 0 ]
