#pragma once

#include <breakwater/observe/level.hpp>
#include <breakwater/observe/log.hpp>

#if !__has_include(<spdlog/logger.h>)
#error "breakwater/observe/spdlog.hpp needs spdlog (Debian: libspdlog-dev), which breakwater itself does not"
#endif
#include <spdlog/logger.h>

#include <memory>
#include <string_view>
#include <utility>

namespace breakwater {

/// Lines of a log as messages of a spdlog logger, whose own level decides what becomes of them:
///
///     options.observer = bw::request_log(bw::spdlog_sink(spdlog::default_logger()), {.least = bw::Level::debug});
///
/// Link one of spdlog's targets; this needs no component. Use a logger with thread-safe sinks (`…_mt`).
inline LogSink spdlog_sink(std::shared_ptr<spdlog::logger> logger) {
    return [logger = std::move(logger)](Level level, std::string_view line) {
        const auto to = [level] {
            switch (level) {
                case Level::debug: return spdlog::level::debug;
                case Level::info: return spdlog::level::info;
                case Level::warning: return spdlog::level::warn;
                case Level::error: break;
            }
            return spdlog::level::err;
        }();
        logger->log(to, spdlog::string_view_t{line.data(), line.size()});
    };
}

}  // namespace breakwater
