# Writes the ```cpp blocks of a Markdown file to OUT: a block with a main() to OUT/block_LINE.cpp as it is, all others
# together to OUT/blocks.cpp, each in a function of its own; the first block also to OUT/first.txt.
#
# A comment right before a block steers, unseen by readers; its further lines stand before the block's code:
#   <!-- compile: none -->       not compiled
#   <!-- compile: file           at namespace scope, for a block that defines templates
#   struct Row { int id; };
#   -->
#   <!-- compile: body           in a function (so without a comment, too)
#   std::string api_key;
#   -->

/^<!-- compile: / {
    mode = $3
    prelude = ""
    in_comment = ($0 !~ /-->/)
    next
}
in_comment && /^-->/ { in_comment = 0; next }
in_comment { add_prelude($0); next }

/^```cpp/ && !in_block { in_block = 1; start = NR; code = ""; text = ""; includes = ""; next }
/^```/ && in_block { in_block = 0; finish(); mode = ""; prelude = ""; next }
in_block {
    text = text $0 "\n"
    if ($0 ~ /^#include/) { includes = includes $0 "\n"; code = code "\n" }
    else code = code $0 "\n"
    next
}
/^```./ && !in_other { in_other = 1; next }
/^```/ {
    if (!in_other) { print "README.md:" NR ": this fence closes nothing" > "/dev/stderr"; is_wrong = 1; exit 1 }
    in_other = 0
    next
}
NF { mode = ""; prelude = "" }

function add_prelude(line) {
    if (line ~ /^#include/) all_includes = all_includes line "\n"
    else prelude = prelude line "\n"
}

function finish(    name) {
    if (!blocks++) printf "%s", text > (out "/first.txt")
    if (mode == "none") return
    name = "block_" start
    if (text ~ /int main\(/) {
        printf "// expect: it compiles\n#line %d \"README.md\"\n%s", start + 1, text > (out "/" name ".cpp")
        return
    }
    all_includes = all_includes includes
    body = body "namespace " name " {\n"
    if (mode != "file") body = body "inline void run() {\n"
    body = body prelude "#line " (start + 1) " \"README.md\"\n" code
    body = body (mode != "file" ? "}\n" : "") "}\n"
}

END {
    if (is_wrong) exit 1
    if (in_block || in_other || in_comment) { print "README.md: a block or comment is not closed" > "/dev/stderr"; exit 1 }
    if (body == "") exit 0
    printf "// expect: it compiles\n#include <breakwater/breakwater.hpp>\n#include <iostream>\n%s\n", all_includes \
        > (out "/blocks.cpp")
    printf "namespace bw = breakwater;\nusing namespace std::chrono_literals;\n%s", body > (out "/blocks.cpp")
}
