#pragma once

#include <breakwater/error.hpp>

#include <cstddef>
#include <iomanip>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <string>
#include <string_view>

#include "call_watch.hpp"
#include "sync.hpp"

namespace supplier_sync {

/// What the program has done so far.
struct Totals {
    std::map<RunEnd, std::size_t> runs{};
    Work work{};
    CallCounts calls{};
    std::int64_t known_items = 0;
    std::int64_t updated_items = 0;  ///< In the current or just completed pass.
    std::int64_t open_alerts = 0;
};

/// The final table.
inline std::string table(const Totals& totals, double seconds) {
    std::ostringstream out;
    const auto row = [&](std::string_view label, std::size_t number, const std::string& note) {
        out << "  " << std::left << std::setw(16) << label << std::right << std::setw(8) << grouped(number);
        if (!note.empty()) out << "   " << note;
        out << '\n';
    };
    const auto runs = [&](RunEnd end) {
        const auto found = totals.runs.find(end);
        return found == totals.runs.end() ? 0 : found->second;
    };
    const Work& work = totals.work;
    const CallCounts& calls = totals.calls;
    std::size_t all_runs = 0;
    for (const auto& [end, number] : totals.runs) all_runs += number;

    out << "\nsupplier sync, " << std::fixed << std::setprecision(1) << seconds << " s\n";
    row("runs", all_runs,
        grouped(runs(RunEnd::pass_complete)) + " reached the last page, " + grouped(runs(RunEnd::supplier_away)) +
            " stopped early");
    row("pages", work.pages, "");
    row("items", work.items,
        grouped(totals.updated_items) + " of " + grouped(totals.known_items) + " known items in this pass");
    row("unknown SKUs", work.unknown, "");
    row("item errors", work.errors, "");
    row("alerts", work.alerts, grouped(totals.open_alerts) + " open");
    row("attempts", calls.attempts, "");
    row("retries", calls.retries, "");
    row("waits", calls.retries + calls.limiter_waits,
        bw::format_duration(calls.retry_waits + calls.limiter_waited) + ": " + grouped(calls.retries) +
            " before a retry (" + grouped(calls.pauses) + " as the supplier asked), " + grouped(calls.limiter_waits) +
            " for a permit");
    row("refusals", calls.refusals, "by the circuit breaker or the rate limiter");
    row("cache hits", calls.cache_hits, grouped(calls.stale_hits) + " stale");
    std::string transitions;
    std::size_t changes = 0;
    for (const auto& transition : calls.transitions) {
        std::ostringstream text;
        text << std::fixed << std::setprecision(1) << transition.at << " s " << transition.to;
        if (!transitions.empty()) transitions += changes % 4 == 0 ? "\n" + std::string(29, ' ') : ", ";
        transitions += text.str();
        ++changes;
    }
    row("circuit changes", changes, transitions);
    return out.str();
}

/// The client's count of attempts beside the server's own.
inline std::string comparison(const CallCounts& calls, const nlohmann::json& server) {
    const nlohmann::json fates = server.value("fates", nlohmann::json::object());
    std::set<std::string> outcomes;
    for (const auto& [outcome, number] : calls.outcomes) outcomes.insert(outcome);
    for (const auto& [outcome, number] : fates.items()) outcomes.insert(outcome);

    std::ostringstream out;
    const auto row = [&](std::string_view label, const std::string& client, const std::string& its) {
        out << "  " << std::left << std::setw(16) << label << std::right << std::setw(8) << client << std::setw(10)
            << its << '\n';
    };
    out << "\nrequests, as each side counts them\n";
    row("", "client", "server");
    for (const std::string& outcome : outcomes) {
        const auto mine = calls.outcomes.find(outcome);
        row(outcome, mine == calls.outcomes.end() ? "-" : grouped(mine->second),
            outcome == "refused" ? "not seen" : grouped(fates.value(outcome, std::size_t{0})));
    }
    row("in all", grouped(calls.attempts), grouped(server.value("requests", std::size_t{0})));
    return out.str();
}

/// The same as the table, for programs.
inline nlohmann::json as_json(const Totals& totals, double seconds) {
    const CallCounts& calls = totals.calls;
    nlohmann::json transitions = nlohmann::json::array();
    for (const auto& transition : calls.transitions)
        transitions.push_back({{"at", transition.at}, {"to", transition.to}});
    std::size_t runs = 0;
    for (const auto& [end, number] : totals.runs) runs += number;
    return {{"seconds", seconds},
            {"runs", runs},
            {"pages", totals.work.pages},
            {"items", totals.work.items},
            {"unknown", totals.work.unknown},
            {"errors", totals.work.errors},
            {"alerts", totals.work.alerts},
            {"known_items", totals.known_items},
            {"updated_items", totals.updated_items},
            {"open_alerts", totals.open_alerts},
            {"attempts", calls.attempts},
            {"outcomes", calls.outcomes},
            {"retries", calls.retries},
            {"retry_waits_ms", calls.retry_waits.count() / 1'000},
            {"limiter_waits", calls.limiter_waits},
            {"pauses", calls.pauses},
            {"refusals", calls.refusals},
            {"cache_hits", calls.cache_hits},
            {"stale_hits", calls.stale_hits},
            {"circuit", std::move(transitions)}};
}

}  // namespace supplier_sync
