#pragma once

#include <cstddef>
#include <cstdint>
#include <sstream>
#include <stop_token>
#include <string>
#include <utility>

#include "console.hpp"
#include "inventory.hpp"
#include "item.hpp"
#include "run.hpp"
#include "settings.hpp"
#include "supplier.hpp"

namespace supplier_sync {

/// The job: brings the supplier's stock and prices into the inventory, page by page, each in one transaction together
/// with the bookmark. So whatever ends a run, the next one resumes behind the last page that is wholly done.
class Sync {
public:
    static constexpr std::size_t most_messages = 50;

    Sync(Supplier& supplier, Inventory& inventory, const SyncSettings& settings, Console& console)
        : supplier_{supplier}, inventory_{inventory}, settings_{settings}, console_{console} {}

    /// Runs until the last page or until something stops it. Throws sqlite::Error.
    Run run(const std::stop_token& stop) {
        Bookmark bookmark = inventory_.bookmark();
        if (bookmark.pass_began.empty() || bookmark.next_page == 1 || bookmark.per_page != settings_.per_page) {
            bookmark = {.next_page = 1, .per_page = settings_.per_page, .pass_began = utc_now()};
        }
        Run run{.from_page = bookmark.next_page, .next_page = bookmark.next_page};

        // Not needed, but nice to show; what keeps it from us will soon keep the pages from us, too.
        show(run, 0, "");
        const auto products = supplier_.product_count(stop);
        const std::string of_products = products ? " of " + grouped(*products) : "";

        for (std::int64_t pages = 0;;) {
            if (stop.stop_requested()) return ended(run, RunEnd::cancelled, "stopped by a signal");
            show(run, pages, of_products);
            bw::Result<Page> page = supplier_.page(run.next_page, settings_.per_page, stop);
            if (!page) {
                const bw::Error& error = page.error();
                const bool cancelled = stop.stop_requested();
                return ended(run,
                             cancelled             ? RunEnd::cancelled
                             : is_our_fault(error) ? RunEnd::our_fault
                                                   : RunEnd::supplier_away,
                             cancelled ? "stopped by a signal" : error.message());
            }
            const bool last = run.next_page >= page->pages || page->products.empty();
            pages = page->pages;
            bookmark.next_page = last ? 1 : run.next_page + 1;
            store(*page, bookmark, run);
            run.next_page = bookmark.next_page;
            if (last) return run;
        }
    }

    /// What to add to the live line, for example what the client waits for.
    void narrate(const std::string& what) { console_.live(line_ + ", " + what); }

private:
    static Run ended(Run& run, RunEnd end, std::string why) {
        run.end = end;
        run.why = std::move(why);
        return std::move(run);
    }

    void store(const Page& page, const Bookmark& bookmark, Run& run) {
        const std::string now = utc_now();
        Work work{.pages = 1};
        sqlite::Transaction transaction = inventory_.begin();
        for (const nlohmann::json& row : page.products) {
            const auto item = parse_item(row);
            if (!item) {
                ++work.errors;
                if (run.messages.size() < most_messages) {
                    run.messages.push_back("page " + std::to_string(run.next_page) + ": " + item.error());
                }
            } else if (!inventory_.update(*item, now)) {
                ++work.unknown;
            } else {
                ++work.items;
                if (item->stock < settings_.low_stock_threshold && inventory_.open_alert(alert_for(*item), now)) {
                    ++work.alerts;
                }
            }
        }
        inventory_.save(bookmark);
        transaction.commit();
        run.work += work;
    }

    Alert alert_for(const Item& item) const {
        return {.sku = item.sku,
                .text = "Low stock: " + item.sku + " has " + std::to_string(item.stock) + " left (threshold " +
                        std::to_string(settings_.low_stock_threshold) + ")",
                .assignee = settings_.assignee,
                .priority = settings_.priority};
    }

    void show(const Run& run, std::int64_t pages, const std::string& of_products) {
        constexpr std::int64_t width = 20;
        const std::int64_t done = run.next_page - 1;
        std::ostringstream line;
        line << "          page " << run.next_page;
        if (pages > 0) {
            const auto filled = static_cast<std::size_t>(done * width / pages);
            line << " of " << pages << " [" << std::string(filled, '#') << std::string(width - filled, '.') << ']';
        }
        line << "  " << grouped(done * settings_.per_page) << of_products << " products";
        line_ = line.str();
        console_.live(line_);
    }

    Supplier& supplier_;
    Inventory& inventory_;
    const SyncSettings& settings_;
    Console& console_;
    std::string line_;
};

}  // namespace supplier_sync
