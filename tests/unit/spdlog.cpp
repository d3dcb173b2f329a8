#include <breakwater/observe/json_log.hpp>
#include <breakwater/observe/spdlog.hpp>
#include <catch_shim.hpp>

#include <spdlog/sinks/ostream_sink.h>

#include <memory>
#include <sstream>
#include <string>
#include <string_view>

namespace bw = breakwater;

namespace {

/// A logger that keeps its messages.
struct Kept {
    explicit Kept(spdlog::level::level_enum least = spdlog::level::trace) {
        logger->set_pattern("%l|%n|%v");
        logger->set_level(least);
    }
    std::ostringstream out;
    std::shared_ptr<spdlog::logger> logger =
        std::make_shared<spdlog::logger>("calls", std::make_shared<spdlog::sinks::ostream_sink_mt>(out));
};

}  // namespace

TEST_CASE("lines reach a spdlog logger at its own levels, as they are") {
    Kept kept;
    const auto sink = bw::spdlog_sink(kept.logger);
    for (const auto level : {bw::Level::debug, bw::Level::info, bw::Level::warning, bw::Level::error})
        sink(level, "{} of {0:d} %v");
    CHECK(kept.out.str() ==
          "debug|calls|{} of {0:d} %v\ninfo|calls|{} of {0:d} %v\nwarning|calls|{} of {0:d} %v\n"
          "error|calls|{} of {0:d} %v\n");
}

TEST_CASE("a spdlog logger's own level holds, for lines for people and of JSON") {
    Kept kept{spdlog::level::err};
    const bw::LogOptions all{.least = bw::Level::debug};
    const bw::Observer observer = bw::observers(bw::request_log(bw::spdlog_sink(kept.logger), all),
                                                bw::json_log(bw::spdlog_sink(kept.logger), all));
    observer({.kind = bw::EventKind::circuit_half_opened, .policy = "ledger"});
    CHECK(kept.out.str().empty());
    observer({.kind = bw::EventKind::circuit_opened, .policy = "ledger", .delay = std::chrono::seconds{5}});
    CHECK(kept.out.str().starts_with("error|calls|circuit ledger: open for 5 s\nerror|calls|{\"v\":1,\"time\":"));
}
