#pragma once

#include <breakwater/detail/invalid_option.hpp>
#include <breakwater/result.hpp>

#include <string_view>

namespace breakwater::detail {

/// Checks the options of a policy that keeps its state in a `StoreType`: where others share it they find it by name.
template <class StoreType, class Options>
Result<void> validate_in(const Options& options, std::string_view path) {
    if (auto ok = validate(options); !ok) return ok;
    if constexpr (StoreType::is_deferred) {
        constexpr std::string_view range = "given where the store is shared";
        if constexpr (requires { options.each; }) {
            if (options.each.name.empty()) return invalid_option(path, "each.name", range, options.each.name);
        } else {
            if (options.name.empty()) return invalid_option(path, "name", range, options.name);
        }
    }
    return {};
}

}  // namespace breakwater::detail
