#pragma once

#include <breakwater/client/json_reader.hpp>
#include <breakwater/errc.hpp>
#include <breakwater/http/headers.hpp>
#include <breakwater/result.hpp>
#include <breakwater/testing/fault_injection/delay.hpp>
#include <breakwater/testing/fault_injection/fault.hpp>
#include <breakwater/testing/fault_injection/options.hpp>
#include <breakwater/testing/fault_injection/store.hpp>

#include <nlohmann/json.hpp>

#include <cstddef>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace breakwater {

namespace faults {

template <class Json>
using Reader = detail::JsonReader<Json>;

template <class Json>
void read(const Reader<Json>& reader, Delay& delay) {
    if (!reader.value().is_object()) {
        Duration fixed{};
        reader.read(fixed);
        delay = fixed;
        return;
    }
    if (reader.value().size() != 1) {
        return reader.mistake(R"(must be a duration, {"uniform": {…}}, {"exponential": {…}} or {"log_normal": {…}})");
    }
    reader.object([&](const auto& member) {
        member("uniform", [&](const Reader<Json>& own) {
            Uniform range;
            own.object([&](const auto& part) {
                part("least", range.least);
                part("most", range.most);
            });
            delay = range;
        });
        member("exponential", [&](const Reader<Json>& own) {
            Exponential distribution;
            own.object([&](const auto& part) { part("mean", distribution.mean); });
            delay = distribution;
        });
        member("log_normal", [&](const Reader<Json>& own) {
            LogNormal distribution;
            own.object([&](const auto& part) {
                part("median", distribution.median);
                part("sigma", distribution.sigma);
            });
            delay = distribution;
        });
    });
}

template <class Json>
void read(const Reader<Json>& reader, Error& error) {
    for (auto code = Errc::resolve_failed; code <= Errc::transport_failed;
         code = static_cast<Errc>(static_cast<int>(code) + 1)) {
        if (reader.value() == to_string(code)) {
            error.code = code;
            return;
        }
    }
    reader.mistake("must be the name of an error of a transport, such as \"connect_failed\", got " +
                   detail::shown(reader.value()));
}

template <class Json>
void read(const Reader<Json>& reader, Headers& headers) {
    if (!reader.value().is_object()) return reader.wrong_type("an object");
    for (const auto& [name, value] : reader.value().items()) {
        std::string text;
        reader.member(name, value).read(text);
        headers.add(name, std::move(text));
    }
}

template <class Json>
void read(const Reader<Json>& reader, Status& status) {
    if (!reader.value().is_object()) {
        reader.read(status.status);
        return;
    }
    reader.object([&](const auto& part) {
        part("status", status.status);
        part("retry_after", status.retry_after);
        part("headers", [&](const Reader<Json>& own) { read(own, status.headers); });
        part("body", status.body);
    });
}

template <class Json>
void read(const Reader<Json>& reader, Then& then) {
    if (!reader.value().is_object()) {
        return reader.template read_word<Then>(
            then, {{"pass_on", PassOn{}}, {"reset", Reset{}}, {"truncate", Truncate{}}, {"drop", Drop{}}});
    }
    if (reader.value().size() != 1) {
        return reader.mistake(R"(must be a word, {"error": …}, {"status": …} or {"truncate": {…}})");
    }
    reader.object([&](const auto& member) {
        member("error", [&](const Reader<Json>& own) {
            Error error;
            read(own, error);
            then = error;
        });
        member("status", [&](const Reader<Json>& own) {
            Status status;
            read(own, status);
            then = std::move(status);
        });
        member("truncate", [&](const Reader<Json>& own) {
            Truncate truncate;
            own.object([&](const auto& part) { part("after", truncate.after); });
            then = truncate;
        });
    });
}

template <class Json>
void read(const Reader<Json>& reader, StoreThen& then) {
    reader.template read_word<StoreThen>(
        then, {{"pass_on", StoreThen::pass_on}, {"no_answer", StoreThen::no_answer}, {"error", StoreThen::error}});
}

template <class Json, class Of>
void read(const Reader<Json>& reader, BasicFault<Of>& fault) {
    const bool is_read = reader.object([&](const auto& member) {
        member("rate", fault.rate);
        member("from", fault.from);
        member("until", fault.until);
        member("delay", [&](const Reader<Json>& own) { read(own, fault.delay); });
        member("then", [&](const Reader<Json>& own) { read(own, fault.then); });
    });
    if (is_read) reader.check(fault);
}

template <class Json, class Of>
void read(const Reader<Json>& reader, std::vector<BasicFault<Of>>& list) {
    if (!reader.value().is_array()) return reader.wrong_type("a list of faults");
    for (std::size_t i = 0; i < reader.value().size(); ++i) read(reader.element(i), list.emplace_back());
}

/// The options of a transport's or a store's faults, as a part of a larger document.
template <class Json, class Options>
void read_options(const Reader<Json>& reader, Options& options) {
    reader.object([&](const auto& member) {
        member("faults", [&](const Reader<Json>& own) { read(own, options.faults); });
        member("script", [&](const Reader<Json>& own) { read(own, options.script); });
        member("seed", options.seed);
    });
}

template <class Options, class Json>
Result<Options> options_from_json(const Json& json) {
    Options options;
    std::vector<std::string> mistakes;
    read_options(Reader<Json>{json, "", mistakes}, options);
    if (mistakes.empty()) return options;
    return detail::mistaken(mistakes);
}

}  // namespace faults

/// The faults of a transport from a configuration:
///
///     {"seed": 7,
///      "faults": [{"rate": 0.1, "delay": {"log_normal": {"median": "200ms", "sigma": 0.5}}},
///                 {"from": "1min", "until": "5min", "then": {"status": {"status": 503, "retry_after": "2s"}}},
///                 {"rate": 0.01, "then": {"error": "connect_failed"}}],
///      "script": [{"then": "drop"}, {}]}
///
/// The keys are the options' names, durations are texts such as "250ms", and every mistake is named by its path. `when`
/// is code and not read here.
template <class Json = nlohmann::json>
Result<FaultOptions> fault_options_from_json(const std::type_identity_t<Json>& json) {
    return faults::options_from_json<FaultOptions>(json);
}

/// The faults of a store likewise; `then` is "pass_on", "no_answer" or "error".
template <class Json = nlohmann::json>
Result<StoreFaultOptions> store_fault_options_from_json(const std::type_identity_t<Json>& json) {
    return faults::options_from_json<StoreFaultOptions>(json);
}

}  // namespace breakwater
