#pragma once

#include <sqlite3.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>

/// SQLite with its handles owned and its errors thrown.
namespace sqlite {

struct Error : std::runtime_error {
    using std::runtime_error::runtime_error;
};

class Database {
public:
    /// Waits up to `max_wait` for other writers, whenever it has to.
    explicit Database(const std::string& path, std::chrono::microseconds max_wait = std::chrono::seconds{5})
        : max_wait_{std::make_unique<std::chrono::microseconds>(max_wait)} {
        require_own();
        opener = ::getpid();
        sqlite3* handle = nullptr;
        const int code = sqlite3_open_v2(path.c_str(), &handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, nullptr);
        ++open;
        handle_.reset(handle);  // even a failed open leaves one to close
        if (code != SQLITE_OK) throw Error{"database " + path + ": " + sqlite3_errstr(code)};
        sqlite3_busy_handler(handle, &wait, max_wait_.get());
    }

    /// True if the open databases were opened by the process that forked this one. It must use none of them, nor open
    /// another: SQLite would count on file locks that only the other process has.
    static bool is_inherited() { return open > 0 && opener != ::getpid(); }
    static void require_own() {
        if (is_inherited()) throw Error{"database: one was open when this process was forked"};
    }

    sqlite3* handle() const { return handle_.get(); }

    /// Runs statements that take no parameters and give no rows.
    void execute(const char* statements) {
        require_own();
        check(sqlite3_exec(handle(), statements, nullptr, nullptr, nullptr));
    }

    /// From now on readers and a writer do not wait for each other, and a commit does not wait for the disk; what a
    /// power failure takes are the latest commits.
    void use_write_ahead_log() {
        constexpr auto mode = "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL";
        int tries = 0;
        int code = SQLITE_OK;
        do {  // SQLite itself does not wait for another process that does the same just now
            code = sqlite3_exec(handle(), mode, nullptr, nullptr, nullptr);
        } while (code == SQLITE_BUSY && wait(max_wait_.get(), tries++) != 0);
        check(code);
    }

    /// Begins a transaction that writes, if none has begun; commits it, if one has.
    void begin() {
        if (!in_transaction()) execute("BEGIN IMMEDIATE");
    }
    void commit() {
        if (in_transaction()) execute("COMMIT");
    }
    bool in_transaction() const { return sqlite3_get_autocommit(handle()) == 0; }

    int changes() const { return sqlite3_changes(handle()); }

    void check(int code) const {
        if (code != SQLITE_OK) throw Error{std::string{"database: "} + sqlite3_errmsg(handle())};
    }

private:
    struct Close {
        void operator()(sqlite3* handle) const {
            if (is_inherited()) return;
            sqlite3_close(handle);
            --open;
        }
    };

    // Looks often: SQLite's own waits get so long that of many writers some would hardly ever have their turn.
    static int wait(void* max_wait, int tries) {
        constexpr std::chrono::microseconds moment{500};
        std::this_thread::sleep_for(moment);
        return tries * moment < *static_cast<const std::chrono::microseconds*>(max_wait) ? 1 : 0;
    }

    static inline std::atomic<int> open{0};
    static inline std::atomic<pid_t> opener{0};

    std::unique_ptr<std::chrono::microseconds> max_wait_;
    std::unique_ptr<sqlite3, Close> handle_;
};

/// A value that is no text.
struct Bytes {
    std::string_view bytes;
};

/// A prepared statement. Values reach it as bound parameters only.
class Statement {
public:
    Statement(Database& database, const char* text) : database_{&database} {
        sqlite3_stmt* handle = nullptr;
        database.check(sqlite3_prepare_v3(database.handle(), text, -1, SQLITE_PREPARE_PERSISTENT, &handle, nullptr));
        handle_.reset(handle);
    }

    /// Binds the values in order and runs the statement to its end. Returns how many rows it changed.
    template <class... Values>
    int run(const Values&... values) {
        const Row row{*this, values...};
        while (row.next()) {
        }
        return database_->changes();
    }

    /// Binds the values and returns the first column of the first row.
    template <class... Values>
    std::optional<std::int64_t> integer(const Values&... values) {
        const Row row{*this, values...};
        if (!row.next()) return std::nullopt;
        return sqlite3_column_int64(handle_.get(), 0);
    }

    /// One use of a statement: it is reset when this ends, so that it holds no lock in between.
    class Row {
    public:
        template <class... Values>
        explicit Row(Statement& statement, const Values&... values) : statement_{statement} {
            Database::require_own();
            int place = 0;
            (statement.bind(++place, values), ...);
        }
        Row(const Row&) = delete;
        Row& operator=(const Row&) = delete;
        ~Row() { sqlite3_reset(statement_.handle_.get()); }

        bool next() const {
            const int code = sqlite3_step(statement_.handle_.get());
            if (code == SQLITE_ROW) return true;
            if (code != SQLITE_DONE) statement_.database_->check(code);
            return false;
        }
        std::int64_t integer(int column) const { return sqlite3_column_int64(statement_.handle_.get(), column); }
        std::string text(int column) const {
            const auto* bytes = sqlite3_column_text(statement_.handle_.get(), column);
            return bytes ? std::string{reinterpret_cast<const char*>(bytes)} : std::string{};
        }
        std::string bytes(int column) const {
            const auto* bytes = static_cast<const char*>(sqlite3_column_blob(statement_.handle_.get(), column));
            const auto size = static_cast<std::size_t>(sqlite3_column_bytes(statement_.handle_.get(), column));
            return bytes ? std::string{bytes, size} : std::string{};
        }

    private:
        Statement& statement_;
    };

private:
    // Texts and bytes are bound without a copy: they outlive the use.
    void bind(int place, std::string_view text) {
        database_->check(
            sqlite3_bind_text64(handle_.get(), place, text.data(), text.size(), SQLITE_STATIC, SQLITE_UTF8));
    }
    void bind(int place, Bytes value) {
        database_->check(
            sqlite3_bind_blob64(handle_.get(), place, value.bytes.data(), value.bytes.size(), SQLITE_STATIC));
    }
    void bind(int place, std::chrono::microseconds span) { bind(place, std::int64_t{span.count()}); }
    void bind(int place, std::int64_t number) { database_->check(sqlite3_bind_int64(handle_.get(), place, number)); }

    struct Finalize {
        void operator()(sqlite3_stmt* handle) const { sqlite3_finalize(handle); }
    };
    Database* database_;
    std::unique_ptr<sqlite3_stmt, Finalize> handle_;
};

/// Rolled back unless committed.
class Transaction {
public:
    explicit Transaction(Database& database) : database_{database} { database_.execute("BEGIN IMMEDIATE"); }
    Transaction(const Transaction&) = delete;
    Transaction& operator=(const Transaction&) = delete;
    ~Transaction() {
        if (!committed_) sqlite3_exec(database_.handle(), "ROLLBACK", nullptr, nullptr, nullptr);
    }

    void commit() {
        database_.execute("COMMIT");
        committed_ = true;
    }

private:
    Database& database_;
    bool committed_ = false;
};

}  // namespace sqlite
