#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

/// SQLite with its handles owned and its errors thrown.
namespace sqlite {

struct Error : std::runtime_error {
    using std::runtime_error::runtime_error;
};

class Database {
public:
    explicit Database(const std::string& path) {
        sqlite3* handle = nullptr;
        const int code = sqlite3_open_v2(path.c_str(), &handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, nullptr);
        handle_.reset(handle);  // even a failed open leaves one to close
        if (code != SQLITE_OK) throw Error{"database " + path + ": " + sqlite3_errstr(code)};
        sqlite3_busy_timeout(handle, 5'000);
    }

    sqlite3* handle() const { return handle_.get(); }

    /// Runs statements that take no parameters and give no rows.
    void execute(const char* statements) { check(sqlite3_exec(handle(), statements, nullptr, nullptr, nullptr)); }

    int changes() const { return sqlite3_changes(handle()); }

    void check(int code) const {
        if (code != SQLITE_OK) throw Error{std::string{"database: "} + sqlite3_errmsg(handle())};
    }

private:
    struct Close {
        void operator()(sqlite3* handle) const { sqlite3_close(handle); }
    };
    std::unique_ptr<sqlite3, Close> handle_;
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

    private:
        Statement& statement_;
    };

private:
    // Texts are bound without a copy: they outlive the use.
    void bind(int place, std::string_view text) {
        database_->check(
            sqlite3_bind_text64(handle_.get(), place, text.data(), text.size(), SQLITE_STATIC, SQLITE_UTF8));
    }
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
