#pragma once

#include <unistd.h>

#include <chrono>
#include <cstddef>
#include <iomanip>
#include <iostream>
#include <sstream>
#include <string>

namespace crawl {

/// How far a crawl is: a bar that is drawn anew ten times a second on a terminal, else a line each second.
class Progress {
public:
    explicit Progress(std::size_t total) : total_{total} {}

    /// How long to wait before the next `show`.
    std::chrono::milliseconds pause() const { return std::chrono::milliseconds{is_terminal_ ? 100 : 1'000}; }

    void show(std::size_t done, std::size_t in_flight) const {
        constexpr std::size_t width = 40;
        const std::size_t full = done * width / total_;
        std::ostringstream line;
        line << "  [" << std::string(full, '#') << std::string(width - full, '.') << "] " << std::setw(6) << done
             << " of " << total_ << ", " << in_flight << " in flight";
        std::cout << (is_terminal_ ? "\r\x1b[K" + line.str() : line.str() + '\n') << std::flush;
    }

    void end(std::size_t done) const {
        show(done, 0);
        if (is_terminal_) std::cout << '\n';
    }

private:
    std::size_t total_;
    bool is_terminal_ = ::isatty(STDOUT_FILENO) == 1;
};

}  // namespace crawl
