#pragma once

#include <breakwater/store/state_bytes.hpp>
#include <breakwater/store/store.hpp>

#include "../sqlite.hpp"

#include <algorithm>
#include <fstream>
#include <iostream>
#include <mutex>

namespace bw = breakwater;

struct SqliteStoreOptions {
    std::string path{};
    bw::Duration max_wait = std::chrono::milliseconds{250};  ///< For other processes; after that the file has failed.
    bw::Duration retry_after = std::chrono::seconds{1};      ///< How long a file that has failed is left alone.
    bw::Duration idle_ttl = std::chrono::hours{24 * 7};      ///< How long unused states, and blobs, are kept at most.
};

/// A store for several processes on one machine, without a server. A thread-safe handle: copies share everything.
///
/// While the file cannot be used no call fails: each policy goes on with the state it saw last, so that n of them may
/// let n times a limit through, and no blob is kept. Fork first: a process forked while the file is open does not use
/// it.
template <bw::Clock C = bw::SteadyClock>
class SqliteStore {
public:
    template <class M>
    struct Cell {
        using Machine = M;
        std::string key;           // empty: in no file, this handle's alone
        typename M::State latest;  // as this handle saw it last
    };
    static constexpr bool is_deferred = false;

    explicit SqliteStore(SqliteStoreOptions options, C clock = C{})
        : shared_{std::make_shared<Shared>(std::move(options), std::move(clock))} {}
    const C& clock() const noexcept { return shared_->clock; }

    template <bw::Machine M>
    auto cell(std::string_view kind, std::string_view name, const typename M::Options& options) const {
        return std::make_shared<Cell<M>>(bw::StateBytes::key<M>(kind, name, options), M::make_state(options));
    }

    template <class Cell, class Command, class Now>
    auto apply(const bw::Step<Cell, Command>& step, Now& now) const noexcept {
        return *std::get<0>(apply(now, step));
    }
    template <class Now, class... Cells, class... Commands>
    auto apply(Now& now, const bw::Step<Cells, Commands>&... steps) const noexcept {
        const Turn turn{*shared_};
        return bw::apply_in_order([&](const auto& step) { return turn.run(step, now); }, steps...);
    }
    template <class M>
    typename M::State peek(const Cell<M>& cell) const {
        const Turn turn{*shared_};
        typename M::State state = cell.latest;
        const auto bytes = turn.read(cell.key, clock().now());
        return bytes && bw::StateBytes::read(*bytes, state) ? state : cell.latest;
    }
    void put(std::string_view key, const std::string& value, bw::Duration ttl) const {
        Turn{*shared_}.write("blob " + std::string{key}, value, clock().now(), ttl);
    }
    std::shared_ptr<const std::string> get(std::string_view key) const {
        auto value = Turn{*shared_}.read("blob " + std::string{key}, clock().now());
        return value ? std::make_shared<const std::string>(*std::move(value)) : nullptr;
    }
    void erase(std::string_view key) const { put(key, "", bw::Duration{0}); }

private:
    struct File {
        sqlite::Database database;
        sqlite::Statement read{set_up(database), "SELECT value FROM state WHERE key=? AND until>?"};
        sqlite::Statement write{database, "REPLACE INTO state VALUES(?,?,?,?)"};
    };
    struct Shared {
        SqliteStoreOptions options;
        C clock;
        std::mutex mutex{};
        std::unique_ptr<File> file{};
        std::optional<bw::Instant> failed_at{};
    };
    static sqlite::Database& set_up(sqlite::Database& database) {
        std::string boot;  // after the next one instants mean nothing: the steady clock, which all share, begins anew
        std::ifstream{"/proc/sys/kernel/random/boot_id"} >> boot;
        database.use_write_ahead_log();
        const std::string sql = R"(BEGIN IMMEDIATE;
            CREATE TABLE IF NOT EXISTS state(key BLOB PRIMARY KEY, value BLOB, written INTEGER, until INTEGER);
            CREATE TRIGGER IF NOT EXISTS sweep AFTER INSERT ON state WHEN new.rowid % 4096 = 0
                BEGIN DELETE FROM state WHERE until <= new.written; END;
            CREATE TABLE IF NOT EXISTS boot(id TEXT PRIMARY KEY);
            CREATE TRIGGER IF NOT EXISTS forget AFTER INSERT ON boot BEGIN DELETE FROM state; END;
            INSERT OR IGNORE INTO boot VALUES(')";
        database.execute((sql + boot + "'); COMMIT").c_str());
        return database;
    }

    /// One thread's turn with the file. What the file fails to do is left out.
    struct Turn {
        Shared& shared;
        std::scoped_lock<std::mutex> lock{shared.mutex};

        ~Turn() {
            with_file([](File& file) { file.database.commit(); });
        }
        /// The machine runs once, whatever becomes of the file.
        template <class M, class Command, class Now>
        auto run(const bw::Step<Cell<M>, Command>& step, Now& now) const {
            auto& [key, state] = step.cell;
            if (!key.empty()) with_file([](File& file) { file.database.begin(); });
            if (key.empty() || !shared.file) return M::apply(state, step.options, step.command, now());
            const auto bytes = read(key, now());
            if (shared.file && !(bytes && bw::StateBytes::read(*bytes, state))) state = M::make_state(step.options);
            const auto decision = M::apply(state, step.options, step.command, now());
            write(key, bw::StateBytes::of(state), now(), shared.options.idle_ttl);
            return decision;
        }
        std::optional<std::string> read(const std::string& key, bw::Instant now) const {
            std::optional<std::string> value;
            with_file([&](File& file) {
                const sqlite::Statement::Row row{file.read, sqlite::Bytes{key}, now.time_since_epoch()};
                if (row.next()) value = row.bytes(0);
            });
            return value;
        }
        void write(const std::string& key, const std::string& value, bw::Instant now, bw::Duration ttl) const {
            const bw::Duration written = now.time_since_epoch();
            const bw::Duration until = written + std::min(ttl, shared.options.idle_ttl);
            with_file([&](File& file) { file.write.run(sqlite::Bytes{key}, sqlite::Bytes{value}, written, until); });
        }
        template <class Use>
        void with_file(Use use) const {
            auto& [options, clock, mutex, file, failed_at] = shared;
            const bw::Instant now = bw::SteadyClock{}.now();
            if (!file && failed_at && now < *failed_at + options.retry_after) return;
            try {
                if (!file) file.reset(new File{.database = sqlite::Database{options.path, options.max_wait}});
                use(*file);
                if (std::exchange(failed_at, {})) std::clog << options.path << ": shared again\n";
            } catch (const std::exception& why) {
                file.reset();
                if (!std::exchange(failed_at, now)) std::clog << options.path << ": alone, for " << why.what() << '\n';
            }
        }
    };

    std::shared_ptr<Shared> shared_;
};
