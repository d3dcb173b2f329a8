#pragma once

#include <breakwater/detail/invalid_option.hpp>
#include <breakwater/result.hpp>
#include <breakwater/testing/fault_injection/delay.hpp>
#include <breakwater/timeline.hpp>

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace breakwater {

/// What is done to what is asked of a transport (`Fault`) or of a store (`StoreFault`).
template <class Then>
struct BasicFault {
    double rate = 1;                  ///< Of what is asked, the share that it meets. 0 to 1; default 1.
    Duration from{};                  ///< When it begins, after the faults were set. >= 0s; default: at once.
    std::optional<Duration> until{};  ///< When it is over, likewise. > `from`; default: never.
    faults::Delay delay{};            ///< Comes first. Default: none.
    Then then{};                      ///< Comes after the delay. Default: what is asked is passed on.
};

/// Checks the options; messages begin with `path`.
template <class Then>
Result<void> validate(const BasicFault<Then>& fault, std::string_view path) {
    if (!(fault.rate >= 0 && fault.rate <= 1)) return detail::invalid_option(path, "rate", "0 to 1", fault.rate);
    if (fault.from < Duration{0}) return detail::invalid_option(path, "from", ">= 0s", fault.from);
    if (fault.until && *fault.until <= fault.from) {
        return detail::invalid_option(path, "until", "> from, which is " + detail::option_text(fault.from),
                                      *fault.until);
    }
    if (auto ok = validate(fault.delay, std::string{path} + ".delay"); !ok) return ok;
    return validate(fault.then, std::string{path} + ".then");
}

/// The same of each fault of a list.
template <class Then>
Result<void> validate(const std::vector<BasicFault<Then>>& list, std::string_view path) {
    for (std::size_t i = 0; i < list.size(); ++i)
        if (auto ok = validate(list[i], std::string{path} + '[' + std::to_string(i) + ']'); !ok) return ok;
    return {};
}

}  // namespace breakwater
