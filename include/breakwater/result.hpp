#pragma once

#include <breakwater/error.hpp>

#include <cstdio>
#include <cstdlib>
#include <expected>
#include <type_traits>
#include <utility>

namespace breakwater {

/// A value or the reason there is none.
template <class T>
using Result = std::expected<T, Error>;

template <class T>
inline constexpr bool is_result = false;
template <class T>
inline constexpr bool is_result<std::expected<T, Error>> = true;

/// `return fail(Errc::cancelled);`
[[nodiscard]] inline std::unexpected<Error> fail(Error error) { return std::unexpected<Error>{std::move(error)}; }
[[nodiscard]] inline std::unexpected<Error> fail(Errc code) { return std::unexpected<Error>{Error{code}}; }
[[nodiscard]] inline std::unexpected<Error> fail(Errc code, std::string message) {
    return std::unexpected<Error>{Error{code, std::move(message)}};
}

/// Throws what the error stands for: the user's own exception unchanged if it holds one, else `Exception`. Where
/// exceptions are switched off, it writes the message to standard error and ends the program.
[[noreturn]] inline void throw_error(const Error& error) {
#ifdef __cpp_exceptions
    if (auto own = error.exception()) std::rethrow_exception(own);
    throw Exception{error};
#else
    std::fprintf(stderr, "breakwater: %s\n", error.message().c_str());
    std::abort();
#endif
}

/// The value, or throws what the error stands for.
template <class T>
T value_or_throw(Result<T>&& result) {
    if (!result) throw_error(result.error());
    if constexpr (!std::is_void_v<T>) return *std::move(result);
}
template <class T>
T value_or_throw(const Result<T>& result) {
    if (!result) throw_error(result.error());
    if constexpr (!std::is_void_v<T>) return *result;
}

}  // namespace breakwater
