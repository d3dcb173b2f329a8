#pragma once

#include <array>
#include <chrono>
#include <csignal>
#include <iomanip>
#include <iostream>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>

#include "fleet.hpp"
#include "process.hpp"
#include "redis.hpp"

namespace redis_fleet {

/// What happened when: instants of the show.
struct Script {
    Clock::time_point begin{}, down{}, up{}, down_again{}, hanging{}, up_again{}, redis_down{}, redis_up{}, end{};
    std::array<int, 2> killed{};                   ///< Which worker, of each fleet.
    std::array<Clock::time_point, 2> killed_at{};  ///< When it was killed,
    std::array<Clock::time_point, 2> back_at{};    ///< and when another began in its place.
};

/// Two fleets go through the same troubles at the same time.
class Show {
public:
    Show(Fleet& alone, Fleet& sharing, Redis& redis, double haste)
        : fleets_{&alone, &sharing}, redis_{redis}, haste_{haste} {}

    Script run() {
        using namespace std::chrono_literals;
        std::signal(SIGINT, [](int) { is_interrupted = 1; });
        std::signal(SIGTERM, [](int) { is_interrupted = 1; });
        script_.begin = Clock::now();
        say("all is well");
        pass(2s);
        script_.down = weather("the supplier is down: every call gets a 503");
        pass(4s);
        script_.up = weather("the supplier is up");
        pass(3s);
        script_.down_again = weather("the supplier is down again");
        pass(1500ms);
        script_.hanging = weather("the supplier hangs: answers take 2 s, and nobody waits longer than 0.8 s");
        pass(100ms);  // probes that began before
        kill_probers();
        script_.up_again = weather("the supplier is up");
        pass(1s);
        for (const std::size_t i : {0U, 1U}) {
            fleets_[i]->begin(script_.killed[i]);
            script_.back_at[i] = Clock::now();
        }
        say("a new worker for each that was killed");
        pass(2500ms);
        pass(20s, [&](std::size_t, std::optional<int>) { return fleets_[0]->is_well() && fleets_[1]->is_well(); });
        script_.redis_down =
            say(redis_.is_cluster() ? "the master that keeps the fleet's state is killed" : "Redis is killed");
        redis_.kill("breakwater:{supplier}");
        pass(3s);
        script_.redis_up = say(redis_.is_cluster() ? "it is back: as the replica of its replica"
                                                   : "Redis is back, and has forgotten everything");
        redis_.bring_back();
        pass(3s);
        script_.end = say("the end");
        for (Fleet* fleet : fleets_) fleet->end();
        return script_;
    }

private:
    static inline volatile std::sig_atomic_t is_interrupted = 0;

    /// Prints a line and returns the time.
    Clock::time_point say(const std::string& what) const {
        const auto now = Clock::now();
        std::cout << std::fixed << std::setprecision(1) << std::setw(6)
                  << std::chrono::duration<double>(now - script_.begin).count() << " s  " << what << std::endl;
        return now;
    }
    Clock::time_point weather(const std::string& what) const {
        for (const Fleet* fleet : fleets_) fleet->supplier().go_on();
        return say(what);
    }

    /// Lets time go by, and hears what the workers report. Ends once `is_over(fleet, who of it began a probe)` says so.
    template <class IsOver>
    bool pass(Clock::duration usual, IsOver is_over) {
        const auto end = Clock::now() + std::chrono::duration_cast<Clock::duration>(usual / haste_);
        while (Clock::now() < end) {
            if (is_interrupted) throw std::runtime_error{"interrupted"};
            for (const std::size_t i : {0U, 1U})
                if (is_over(i, fleets_[i]->listen())) return true;
            std::this_thread::sleep_for(std::chrono::milliseconds{5});
        }
        return false;
    }
    void pass(Clock::duration usual) {
        pass(usual, [](std::size_t, std::optional<int>) { return false; });
    }

    /// Kills in each fleet the first worker that probes the hanging supplier, in the midst of it.
    void kill_probers() {
        std::size_t killed = 0;
        const bool all = pass(std::chrono::seconds{10}, [&](std::size_t i, std::optional<int> prober) {
            if (!prober || script_.killed_at[i] != Clock::time_point{}) return false;
            fleets_[i]->kill(*prober);
            script_.killed[i] = *prober;
            script_.killed_at[i] = say(std::string{i == 0 ? "without" : "with"} + " sharing: worker " +
                                       std::to_string(*prober + 1) + " is killed while it probes");
            return ++killed == fleets_.size();
        });
        if (!all) throw std::runtime_error{"nobody probes the supplier"};
    }

    std::array<Fleet*, 2> fleets_;
    Redis& redis_;
    double haste_;
    Script script_;
};

}  // namespace redis_fleet
