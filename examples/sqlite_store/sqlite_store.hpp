#pragma once

#include <breakwater/store/local_fallback.hpp>
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

/// States and blobs in a file. A thread-safe handle: copies share everything. What the file fails to do throws.
template <bw::Clock C>
class SqliteFile {
public:
    template <class M>
    struct Cell {
        using Machine = M;
        std::string key;
        typename M::State latest;  // as this process saw it last
        auto apply(const typename M::Options& options, const auto& command, auto& now) {
            return M::apply(latest, options, command, now());
        }
    };
    static constexpr bool is_deferred = false;

    SqliteFile(SqliteStoreOptions options, C clock)
        : shared_{std::make_shared<Shared>(std::move(options), std::move(clock))} {}
    const C& clock() const noexcept { return shared_->clock; }

    template <bw::Machine M>
    auto cell(std::string_view kind, std::string_view name, const typename M::Options& options) const {
        return std::make_shared<Cell<M>>(bw::StateBytes::key<M>(kind, name, options), M::make_state(options));
    }
    template <class Now, class... M, class... Commands>
    auto try_apply(Now& now, const bw::Step<Cell<M>, Commands>&... steps) const {
        return with_file([&](File& file) {
            file.database.begin();
            (read(file, steps.cell, M::make_state(steps.options)), ...);
            const std::optional decisions{bw::take_in_order(now, steps...)};
            try {
                (write(file, steps.cell.key, bw::StateBytes::of(steps.cell.latest), bw::Duration::max()), ...);
                file.database.commit();
            } catch (const std::exception& why) {  // what is decided is decided: the next to come is told
                shared_->failure = why.what();
            }
            return decisions;
        });
    }
    template <class M>
    auto try_peek(Cell<M>& cell) const {
        return with_file([&](File& file) { return std::optional{read(file, cell, cell.latest)}; });
    }
    template <class M>
    auto latest(const Cell<M>& cell) const {
        const std::scoped_lock lock{shared_->mutex};
        return cell.latest;
    }
    bool try_put(std::string_view key, const std::string& value, bw::Duration ttl) const {
        return with_file([&](File& file) { return write(file, "blob " + std::string{key}, value, ttl); });
    }
    auto try_get(std::string_view key) const {
        return with_file([&](File& file) { return std::optional{find(file, "blob " + std::string{key})}; });
    }

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
        std::string failure{};  // why what was decided last is not in the file
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

    template <class Use>
    auto with_file(Use use) const {
        const std::scoped_lock lock{shared_->mutex};
        if (!shared_->failure.empty()) throw sqlite::Error{std::exchange(shared_->failure, "")};
        auto file = std::exchange(shared_->file, nullptr);  // one that fails is closed
        if (!file) file.reset(new File{sqlite::Database{shared_->options.path, shared_->options.max_wait}});
        auto result = use(*file);
        if (shared_->failure.empty()) shared_->file = std::move(file);
        return result;
    }
    std::shared_ptr<const std::string> find(File& file, const std::string& key) const {
        const sqlite::Statement::Row row{file.read, sqlite::Bytes{key}, clock().now().time_since_epoch()};
        return row.next() ? std::make_shared<const std::string>(row.bytes(0)) : nullptr;
    }
    template <class M>
    auto& read(File& file, Cell<M>& cell, typename M::State otherwise) const {
        const auto bytes = find(file, cell.key);
        if (!bytes || !bw::StateBytes::read(*bytes, cell.latest)) cell.latest = std::move(otherwise);
        return cell.latest;
    }
    bool write(File& file, const std::string& key, const std::string& value, bw::Duration ttl) const {
        const bw::Duration written = clock().now().time_since_epoch();
        const bw::Duration until = written + std::min(ttl, shared_->options.idle_ttl);
        file.write.run(sqlite::Bytes{key}, sqlite::Bytes{value}, written, until);
        return true;
    }

    std::shared_ptr<Shared> shared_;
};

/// A store for several processes on one machine, without a server. While the file cannot be used each goes on alone, so
/// that n of them may let n times a limit through, and no blob is kept. Fork first: a process forked while the file is
/// open does not use it.
template <bw::Clock C = bw::SteadyClock>
struct SqliteStore : bw::LocalFallback<SqliteFile<C>> {
    explicit SqliteStore(const SqliteStoreOptions& options, C clock = C{})
        : SqliteStore::LocalFallback{
              {options, std::move(clock)},
              {.name = options.path, .retry_after = options.retry_after, .observer = [](const bw::Event& event) {
                   const bool is_back = event.kind == bw::EventKind::store_rejoined;
                   std::clog << event.policy << (is_back ? ": shared again" : ": alone, for ") << event.subject << '\n';
               }}} {}
};
