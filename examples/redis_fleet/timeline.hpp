#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <iostream>
#include <string>
#include <string_view>
#include <vector>

#include "fleet.hpp"
#include "show.hpp"

namespace redis_fleet {

/// The show as lines of text, a character for each stretch of time.
class Timeline {
public:
    /// A character is that long, or longer where the show was so long that its lines would be.
    Timeline(const Script& script, Clock::duration slot)
        : script_{script},
          slot_{std::max(slot, (script.end - script.begin) / most_columns + Clock::duration{1})},
          columns_{static_cast<std::size_t>((script.end - script.begin) / slot_) + 1} {}

    void print_legend() const {
        std::printf(
            "\na character is %.3g s:  . answered   x asked in vain   - refused by the circuit   p probe\n"
            "                         P probe that closes it   # killed   ~ refused by the limit   ! lost\n",
            std::chrono::duration<double>(slot_).count());
    }

    void print_scale() const {
        std::string line(columns_ + 8, ' ');
        for (int second = 0;; second += 2) {
            const std::size_t at = column(script_.begin + std::chrono::seconds{second});
            if (at >= columns_) break;
            const std::string text = std::to_string(second);
            line.replace(at, text.size(), text);
        }
        row("seconds", line);
    }

    void print_troubles() const {
        std::string supplier(columns_, ' '), redis(columns_, ' ');
        fill(supplier, script_.down, script_.up, "down");
        fill(supplier, script_.down_again, script_.hanging, "down");
        fill(supplier, script_.hanging, script_.up_again, "hang", '~');
        fill(redis, script_.redis_down, script_.redis_up, "gone");
        row("supplier", supplier);
        row("Redis", redis);
    }

    void print(std::string_view title, const Fleet& fleet, std::size_t which) const {
        std::cout << '\n' << title << '\n';
        for (int worker = 0; worker < Fleet::size; ++worker) {
            std::string line(columns_, ' ');
            for (const Report& report : fleet.reports()) {
                if (report.worker != worker) continue;
                char& mark = line[std::min(column(report.ended), columns_ - 1)];
                if (rank(report.mark) > rank(Mark{mark})) mark = static_cast<char>(report.mark);
            }
            if (worker == script_.killed[which]) fill(line, script_.killed_at[which], script_.back_at[which], "", '#');
            row("  worker " + std::to_string(worker + 1), line);
        }
    }

private:
    static constexpr int most_columns = 87;

    /// Of what happens in one slot the rarest is shown.
    static std::size_t rank(Mark mark) { return std::string_view{" .-~xpP!"}.find(static_cast<char>(mark)); }

    std::size_t column(Clock::time_point time) const {
        return time < script_.begin ? 0 : static_cast<std::size_t>((time - script_.begin) / slot_);
    }
    void fill(std::string& line, Clock::time_point from, Clock::time_point to, std::string_view word,
              char with = '=') const {
        const std::size_t first = column(from);
        const std::size_t length = std::max<std::size_t>(column(to) - first, 1);
        line.replace(first, length, length, with);
        if (length >= word.size()) line.replace(first + (length - word.size()) / 2, word.size(), word);
    }
    static void row(std::string_view label, std::string text) {
        text.erase(text.find_last_not_of(' ') + 1);
        std::printf("%-12.*s%s\n", static_cast<int>(label.size()), label.data(), text.c_str());
    }

    const Script& script_;
    Clock::duration slot_;
    std::size_t columns_;
};

}  // namespace redis_fleet
