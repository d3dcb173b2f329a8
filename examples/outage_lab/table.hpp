#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

namespace outage_lab {

/// Of a figure as it is shown.
inline std::string figure(double value, int digits = 0) {
    char text[64];
    std::snprintf(text, sizeof text, "%.*f", digits, value);
    return text;
}

/// Rows of words and figures; the first column stands on the left.
class Table {
public:
    explicit Table(std::vector<std::string> heads) { add(std::move(heads)); }

    void add(std::vector<std::string> row) {
        widths_.resize(std::max(widths_.size(), row.size()));
        for (std::size_t i = 0; i < row.size(); ++i) widths_[i] = std::max(widths_[i], row[i].size());
        rows_.push_back(std::move(row));
    }
    void print() const {
        for (const auto& row : rows_) {
            std::string line = "  ";
            for (std::size_t i = 0; i < row.size(); ++i) {
                const std::string gap(widths_[i] - row[i].size(), ' ');
                line += i == 0 ? row[i] + gap : "  " + gap + row[i];
            }
            std::cout << line << '\n';
        }
        std::cout << std::flush;
    }

private:
    std::vector<std::vector<std::string>> rows_;
    std::vector<std::size_t> widths_;
};

}  // namespace outage_lab
