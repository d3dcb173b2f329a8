#pragma once

#include <cstdint>
#include <istream>
#include <optional>
#include <string>
#include <string_view>

#include "../sqlite.hpp"
#include "item.hpp"

namespace supplier_sync {

/// A message to whoever orders more.
struct Alert {
    std::string sku;
    std::string text;
    std::string assignee;
    std::string priority;
};

/// How far a pass through the supplier's pages has come.
struct Bookmark {
    std::int64_t next_page = 1;
    std::int64_t per_page = 0;
    std::string pass_began{};  ///< Empty before the first pass.
};

/// The shop's own stock list, in SQLite. Times are texts like "2026-03-01T09:30:00.250Z", which sort by time.
class Inventory {
public:
    explicit Inventory(const std::string& path) : database_{prepared(path)} {}
    Inventory(const Inventory&) = delete;  // the statements point to the database
    Inventory& operator=(const Inventory&) = delete;

    /// Adds the SKUs of a list, one a line, that are not known yet. Returns how many were new.
    std::int64_t import_skus(std::istream& list) {
        sqlite::Transaction transaction{database_};
        std::int64_t added = 0;
        for (std::string sku; std::getline(list, sku);) {
            if (!sku.empty()) added += add_.run(std::string_view{sku});
        }
        transaction.commit();
        return added;
    }

    /// All changes through one of these take effect together at its commit, or not at all.
    sqlite::Transaction begin() { return sqlite::Transaction{database_}; }

    /// False if the SKU is unknown; nothing is changed then.
    bool update(const Item& item, std::string_view now) {
        return update_.run(std::string_view{item.sku}, item.stock, item.price, now) > 0;
    }

    /// False if one is open for the item already; nothing is changed then.
    bool open_alert(const Alert& alert, std::string_view now) {
        return open_alert_.run(std::string_view{alert.sku}, std::string_view{alert.text},
                               std::string_view{alert.assignee}, std::string_view{alert.priority}, now) > 0;
    }

    Bookmark bookmark() {
        const sqlite::Statement::Row row{read_bookmark_};
        if (!row.next()) return {};
        return {.next_page = row.integer(0), .per_page = row.integer(1), .pass_began = row.text(2)};
    }
    void save(const Bookmark& bookmark) {
        write_bookmark_.run(bookmark.next_page, bookmark.per_page, std::string_view{bookmark.pass_began});
    }

    std::int64_t known_items() { return known_.integer().value_or(0); }
    std::int64_t open_alerts() { return open_alerts_.integer().value_or(0); }
    /// How many known items were updated at or after `since`.
    std::int64_t updated_items(std::string_view since) { return updated_.integer(since).value_or(0); }

private:
    static sqlite::Database prepared(const std::string& path) {
        sqlite::Database database{path};
        database.use_write_ahead_log();
        database.execute(R"(
            PRAGMA foreign_keys = ON;
            CREATE TABLE IF NOT EXISTS items (
                sku        TEXT PRIMARY KEY,
                stock      INTEGER,
                price      INTEGER,             -- in cents
                updated_at TEXT                 -- NULL until the supplier has told
            ) WITHOUT ROWID;
            CREATE TABLE IF NOT EXISTS alerts (
                id        INTEGER PRIMARY KEY,
                sku       TEXT NOT NULL REFERENCES items (sku),
                text      TEXT NOT NULL,
                assignee  TEXT NOT NULL,
                priority  TEXT NOT NULL,
                opened_at TEXT NOT NULL,
                closed_at TEXT                  -- set by whoever has dealt with it
            );
            CREATE UNIQUE INDEX IF NOT EXISTS one_open_alert_per_item ON alerts (sku) WHERE closed_at IS NULL;
            CREATE TABLE IF NOT EXISTS sync_state (
                id         INTEGER PRIMARY KEY CHECK (id = 1),
                next_page  INTEGER NOT NULL,
                per_page   INTEGER NOT NULL,
                pass_began TEXT NOT NULL
            );
        )");
        return database;
    }

    sqlite::Database database_;
    sqlite::Statement add_{database_, "INSERT INTO items (sku) VALUES (?1) ON CONFLICT DO NOTHING"};
    sqlite::Statement update_{database_, "UPDATE items SET stock = ?2, price = ?3, updated_at = ?4 WHERE sku = ?1"};
    sqlite::Statement open_alert_{database_,
                                  "INSERT INTO alerts (sku, text, assignee, priority, opened_at) "
                                  "VALUES (?1, ?2, ?3, ?4, ?5) "
                                  "ON CONFLICT (sku) WHERE closed_at IS NULL DO NOTHING"};
    sqlite::Statement read_bookmark_{database_, "SELECT next_page, per_page, pass_began FROM sync_state"};
    sqlite::Statement write_bookmark_{database_,
                                      "INSERT INTO sync_state (id, next_page, per_page, pass_began) "
                                      "VALUES (1, ?1, ?2, ?3) ON CONFLICT (id) DO UPDATE SET "
                                      "next_page = ?1, per_page = ?2, pass_began = ?3"};
    sqlite::Statement known_{database_, "SELECT count(*) FROM items"};
    sqlite::Statement open_alerts_{database_, "SELECT count(*) FROM alerts WHERE closed_at IS NULL"};
    sqlite::Statement updated_{database_, "SELECT count(*) FROM items WHERE updated_at >= ?1"};
};

}  // namespace supplier_sync
