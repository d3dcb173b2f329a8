#pragma once

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <iomanip>
#include <sstream>
#include <string>
#include <vector>

namespace supplier_sync {

/// "2026-03-01T09:30:00.250Z".
inline std::string utc_now() {
    const auto now = std::chrono::floor<std::chrono::milliseconds>(std::chrono::system_clock::now());
    const std::time_t seconds = std::chrono::system_clock::to_time_t(now);
    std::tm parts{};
    gmtime_r(&seconds, &parts);
    std::ostringstream text;
    text << std::put_time(&parts, "%Y-%m-%dT%H:%M:%S.") << std::setw(3) << std::setfill('0')
         << now.time_since_epoch().count() % 1'000 << 'Z';
    return text.str();
}

/// 12345 as "12,345".
inline std::string grouped(std::integral auto number) {
    std::string text = std::to_string(number);
    for (std::size_t place = text.size(); place > 3;) text.insert(place -= 3, ",");
    return text;
}

/// What has been done: by one run, or by all of them.
struct Work {
    std::size_t pages = 0;
    std::size_t items = 0;    ///< Updated.
    std::size_t unknown = 0;  ///< SKUs of the supplier's that are not ours.
    std::size_t alerts = 0;   ///< Opened.
    std::size_t errors = 0;   ///< Rows that could not be used.

    Work& operator+=(const Work& more) {
        pages += more.pages;
        items += more.items;
        unknown += more.unknown;
        alerts += more.alerts;
        errors += more.errors;
        return *this;
    }
};

enum class RunEnd {
    pass_complete,  ///< The last page is done.
    supplier_away,  ///< Stopped by the limit, the circuit or exhausted retries; the next run resumes at this page.
    cancelled,      ///< Stopped by a signal; likewise.
    our_fault,      ///< The supplier refuses us, or we are set up wrongly: a person must look.
};

struct Run {
    RunEnd end = RunEnd::pass_complete;
    Work work{};
    std::string why{};  ///< What stopped it; empty if it is complete.
    std::int64_t from_page = 1;
    std::int64_t next_page = 1;           ///< Where the next run begins.
    std::vector<std::string> messages{};  ///< The first row errors.
};

}  // namespace supplier_sync
