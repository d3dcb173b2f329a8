#pragma once

#include <sys/ioctl.h>
#include <unistd.h>

#include <chrono>
#include <iomanip>
#include <iostream>
#include <sstream>
#include <string>
#include <string_view>

namespace supplier_sync {

/// Standard output: lines with the time since the start and, on a terminal, one live line below them.
class Console {
public:
    using Clock = std::chrono::steady_clock;

    double elapsed() const { return std::chrono::duration<double>(Clock::now() - began_).count(); }

    /// The time, a subject of a word or two, and whole lines.
    void report(std::string_view subject, std::string_view text) {
        std::ostringstream out;
        out << std::fixed << std::setprecision(1) << std::setw(6) << elapsed() << " s  " << std::left << std::setw(7)
            << subject << "  " << text;
        write(out.str());
    }

    /// Whole lines, each with its end.
    void lines(const std::string& text) { write(text); }

    /// Shows `text` until something else is printed; nothing unless standard output is a terminal.
    void live(std::string_view text) {
        if (!terminal_) return;
        winsize size{};
        const bool known = ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1;
        const std::string_view shown = text.substr(0, known ? size.ws_col - 1U : 79U);
        std::cout << clear << shown << std::flush;
        live_ = true;
    }

    void end_live() {
        if (live_) std::cout << clear << std::flush;
        live_ = false;
    }

private:
    static constexpr std::string_view clear = "\r\x1b[K";

    void write(const std::string& text) {  // in one piece: another program may print to the same terminal
        std::cout << (live_ ? std::string{clear} + text : text) << std::flush;
        live_ = false;
    }

    const bool terminal_ = ::isatty(STDOUT_FILENO) == 1;
    const Clock::time_point began_ = Clock::now();
    bool live_ = false;
};

}  // namespace supplier_sync
