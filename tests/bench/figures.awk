# Of the lines that print_figure (figure.hpp) prints: a table, or with -v json=COMPILER a JSON file, one figure to a
# line. -v saved=FILE, such a file, adds what was measured then. Exits with 2 if FILE is no such file; with
# -v check=yes that is all it does.
function row(what, reach, measured, reached, was, change) {
    printf "| %-58s | %-7s | %8s | %-8s |", what, reach, measured, reached
    if (saved != "") printf " %8s | %-14s |", was, change
    print ""
}
function quoted(text) {
    gsub(/["\\]/, "\\\\&", text)
    return "\"" text "\""
}
function malformed(why) {
    printf "%s: %s; expected what tests/run bench writes to build/bench/figures.json\n", saved, why > "/dev/stderr"
    failed = 1
    exit 2
}
# {"what": "…", "reach": "…", "measured": 1.38}
function read_saved(   line, status, what, found, ended) {
    while ((status = (getline line < saved)) > 0) {
        if (line ~ /^ *}$/) ended = 1
        if (line !~ /"what"/) continue
        if (line !~ /^ *\{"what": "([^"\\]|\\.)*", "reach": "[^"\\]*", "measured": -?[0-9]+(\.[0-9]+)?},?$/) malformed("no figure: " line)
        what = line
        sub(/^ *\{"what": "/, "", what)
        sub(/", "reach": .*/, "", what)
        sub(/.*"measured": /, "", line)
        before[what] = line + 0
        ++found
    }
    if (status < 0) malformed("cannot be read")
    if (!found || !ended) malformed("holds no whole list of figures")
}
# In percent; what should be small gets worse as it grows.
function change(was, is, reach,   percent, worse) {
    if (was == 0) return is == 0 ? "0 %" : reach ~ /^>=/ ? "from 0" : "from 0 WORSE"
    percent = (is - was) / was * 100
    worse = reach ~ /^>=/ ? -percent : percent
    return sprintf("%+.0f %%%s", percent, worse > 15 ? " WORSE" : "")
}
BEGIN {
    FS = " [|] "
    if (saved != "") read_saved()
    if (check != "") exit
    if (json != "") {
        printf "{\n  \"compiler\": %s,\n  \"figures\": [", quoted(json)
    } else {
        row("what", "reach", "measured", "reached?", "saved", "change")
        print saved == "" ? "|---|---|---|---|" : "|---|---|---|---|---|---|"
    }
}
$1 == "figure" && json != "" {
    printf "%s\n    {\"what\": %s, \"reach\": %s, \"measured\": %s}", count++ ? "," : "", quoted($2), quoted($3), $4
}
$1 == "figure" && json == "" {
    split($3, reach, " ")
    reached = reach[1] == "<=" ? $4 <= reach[2] + 0 : $4 >= reach[2] + 0
    seen[$2] = 1
    row($2, $3, $4, $3 == "" ? "" : reached ? "yes" : "NO", $2 in before ? before[$2] : "", \
        $2 in before ? change(before[$2], $4 + 0, $3) : "new")
}
END {
    if (failed) exit 2
    if (check != "") exit
    if (json != "") print "\n  ]\n}"
    for (what in before) if (!(what in seen)) row(what, "", "", "", before[what], "not measured")
}
