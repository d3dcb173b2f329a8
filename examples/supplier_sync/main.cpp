// Keeps a shop's stock list in step with a supplier whose API fails, throttles and recovers.
//
//   supplier_sync CONFIG.json [options]
//     --init FILE          add the SKUs listed in FILE, one a line, to the shop's items first
//     --every INTERVAL     repeat, a run each INTERVAL ("4h", "15min", "3s"), until SIGINT or SIGTERM
//     --until-complete     with --every: end once a pass has reached the last page
//     --base-url URL       instead of the configuration's
//     --database FILE      instead of the configuration's
//     --store URL          share circuit, limit and retry budget with others who do, in Redis: redis://host:6379/0
//     --report FILE        write the final table as JSON, too
//     --compare            at the end, print the server's own count of requests (its GET /_stats) beside ours
//
// Exit status: 0 if all is well or the supplier is away (the next run resumes); 1 if the supplier refuses us or the
// database fails; 2 if the command line or the configuration is wrong.
#include <breakwater/breakwater.hpp>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <fstream>
#include <iostream>
#include <optional>
#include <sstream>
#include <stop_token>
#include <string>
#include <utility>

#include "call_watch.hpp"
#include "command_line.hpp"
#include "console.hpp"
#include "inventory.hpp"
#include "report.hpp"
#include "schedule.hpp"
#include "settings.hpp"
#include "supplier.hpp"
#include "sync.hpp"

namespace {

using namespace supplier_sync;

bw::ClientOptions client_options(const Settings& settings) {
    bw::Result<bw::ClientOptions> options = bw::client_options_from_json(settings.client);
    if (!options) throw UsageError{"client: " + options.error().message()};
    return *std::move(options);
}

void print(Console& console, std::size_t number, const Run& run) {
    static const std::string indent(19, ' ');
    std::ostringstream text;
    if (run.work.pages == 0) {
        text << "no page";
    } else {
        text << "pages " << run.from_page << " to " << run.from_page + static_cast<std::int64_t>(run.work.pages) - 1
             << ": " << grouped(run.work.items) << " items updated, " << run.work.alerts << " alerts opened";
        if (run.work.errors > 0) text << ", " << run.work.errors << " rows in error";
    }
    text << '\n';
    for (const std::string& message : run.messages) text << indent << "  " << message << '\n';
    if (run.work.errors > run.messages.size()) {
        text << indent << "  … and " << run.work.errors - run.messages.size() << " more\n";
    }
    if (run.end == RunEnd::pass_complete) {
        text << indent << "that was the last page\n";
    } else {
        text << indent << "stopped before page " << run.next_page << ": " << run.why << '\n';
    }
    console.report("run " + std::to_string(number), text.str());
}

int run(const CommandLine& line) {
    const StopOnSignal signals;
    const std::stop_token stop = signals.token();

    Settings settings = read_settings(line.config);
    if (line.base_url) settings.client["base_url"] = *line.base_url;
    if (line.database) settings.sync.database = *line.database;
    bw::ClientOptions options = client_options(settings);

    Inventory inventory{settings.sync.database};
    if (line.skus) {
        std::ifstream list{*line.skus};
        if (!list) throw UsageError{"cannot read " + *line.skus};
        inventory.import_skus(list);
    }

    Console console;
    Totals totals;
    Sync* listener = nullptr;
    options.observer = bw::Observer{CallWatch{totals.calls, [&] { return console.elapsed(); },
                                              [&](const std::string& what) {
                                                  if (listener) listener->narrate(what);
                                              }}};
    Supplier supplier = line.store ? Supplier{options, shared_store(*line.store)} : Supplier{options};
    Sync sync{supplier, inventory, settings.sync, console};
    listener = &sync;

    std::optional<Schedule> schedule;
    if (line.every) schedule.emplace(*line.every);
    bool our_fault = false;
    for (std::size_t number = 1;; ++number) {
        const Run run = sync.run(stop);
        print(console, number, run);
        ++totals.runs[run.end];
        totals.work += run.work;
        our_fault = run.end == RunEnd::our_fault;
        if (our_fault || stop.stop_requested() || !schedule) break;
        if (run.end == RunEnd::pass_complete && line.until_complete) break;
        console.live("          waiting for the next run");
        if (!schedule->wait(stop)) break;
    }
    console.end_live();

    totals.known_items = inventory.known_items();
    totals.updated_items = inventory.updated_items(inventory.bookmark().pass_began);
    totals.open_alerts = inventory.open_alerts();
    const double seconds = console.elapsed();
    console.lines(table(totals, seconds));
    if (line.compare) {
        const bw::Result<nlohmann::json> counts = server_counts(settings.client.value("base_url", ""));
        console.lines(counts ? comparison(totals.calls, *counts) : counts.error().message() + '\n');
    }
    if (line.report && !(std::ofstream{*line.report} << as_json(totals, seconds).dump(2) << '\n')) {
        throw UsageError{"cannot write " + *line.report};
    }
    return our_fault ? 1 : 0;
}

}  // namespace

int main(int argc, char** argv) {
    try {
        return run(parse(argc, argv));
    } catch (const UsageError& error) {
        std::cerr << "supplier_sync: " << error.what() << '\n';
        return 2;
    } catch (const bw::Exception& error) {  // the client's constructor: bad options
        std::cerr << "supplier_sync: " << error.what() << '\n';
        return 2;
    } catch (const std::exception& error) {
        std::cerr << "supplier_sync: " << error.what() << '\n';
        return 1;
    }
}
