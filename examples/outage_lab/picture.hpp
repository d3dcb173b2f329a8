#pragma once

#include "settings.hpp"

#include <array>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

namespace outage_lab {

/// A scenario's figures, NAME.csv, and its picture: NAME.gp, by which gnuplot draws NAME.svg and NAME.png.
class Picture {
public:
    Picture(const Settings& settings, std::string name) : folder_{settings.out}, name_{std::move(name)} {
        std::filesystem::create_directories(folder_);
        csv_.open(folder_ / (name_ + ".csv"));
    }

    std::ostream& csv() { return csv_; }

    /// A line's look: colours that colour-blind eyes tell apart (Okabe, Ito, 2008), each with a dash of its own.
    static std::string line(std::size_t index) {
        constexpr std::array colours{"#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"};
        constexpr std::array dashes{"1", "2", "3", "4", "5", "(12,4)", "(6,4,2,4,2,4)"};
        const std::size_t which = index % colours.size();
        return std::string{" lw 2.4 lc rgb '"} + colours[which] + "' dt " + dashes[which];
    }

    /// `body` says what is drawn, in gnuplot's words, and reads NAME.csv.
    void draw(std::string_view body, std::string_view size = "900,540") {
        csv_.close();
        std::ofstream script{folder_ / (name_ + ".gp")};
        script << "set datafile separator ','\nset style textbox opaque noborder\n";
        for (const std::string_view kind : {"svg", "png"}) {
            script << "reset\nset terminal " << (kind == "svg" ? "svg" : "pngcairo") << " size " << size
                   << " font 'DejaVu Sans," << (kind == "svg" ? 14 : 11) << "' background rgb 'white'\nset output '"
                   << name_ << '.' << kind << "'\n"
                   << "set datafile separator ','\nset grid lc rgb '#DDDDDD' lw 1\nset border 3\nset tics nomirror\n"
                   << "set key left Left reverse samplen 4 spacing 1.2\n"
                   << body << "\nunset multiplot\nunset output\n";
        }
        script.close();
        const bool is_drawn = run_gnuplot();
        std::cout << "  " << (folder_ / (name_ + ".csv")).string()
                  << (is_drawn ? ", .svg, .png\n\n" : "; no picture: gnuplot is missing (Debian: gnuplot-nox)\n\n")
                  << std::flush;
    }

private:
    /// False if there is none.
    bool run_gnuplot() const {
        std::string program = "gnuplot";
        std::string script = name_ + ".gp";
        std::array<char*, 3> words{program.data(), script.data(), nullptr};
        posix_spawn_file_actions_t actions;
        ::posix_spawn_file_actions_init(&actions);
        ::posix_spawn_file_actions_addchdir_np(&actions, folder_.c_str());
        pid_t child = 0;
        const int failed = ::posix_spawnp(&child, words[0], &actions, nullptr, words.data(), environ);
        ::posix_spawn_file_actions_destroy(&actions);
        if (failed != 0) return false;
        int status = 0;
        ::waitpid(child, &status, 0);
        if (status != 0) throw std::runtime_error{"gnuplot cannot draw " + (folder_ / script).string()};
        return true;
    }

    const std::filesystem::path folder_;
    const std::string name_;
    std::ofstream csv_;
};

}  // namespace outage_lab
