#pragma once

#include <cstdio>

namespace breakwater::bench {

/// Prints one figure. `tests/run bench` gathers these lines into its table and compares.
///
/// `reach` is "<= 1.4" or ">= 1.9", or "" for a figure without one.
inline void print_figure(const char* what, const char* reach, double measured) {
    std::printf("figure | %s | %s | %.3f\n", what, reach, measured);
}

}  // namespace breakwater::bench
