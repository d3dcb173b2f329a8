#pragma once

#include <breakwater/version.hpp>

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <typeinfo>
#include <utility>
#include <variant>
#include <vector>

namespace breakwater {

namespace detail {

template <class T>
inline constexpr bool is_plain = std::is_trivially_copyable_v<T> && !std::is_pointer_v<T>;
template <class T>
inline constexpr bool is_plain_vector = false;
template <class T>
inline constexpr bool is_plain_vector<std::vector<T>> = is_plain<T> && !std::is_same_v<T, bool>;

template <class T>
concept HasParts = requires(T& value) { T::parts(value); };

template <class T>
struct IsKeptAsBytes : std::bool_constant<is_plain<T> || is_plain_vector<T>> {};
template <class... T>
struct IsKeptAsBytes<std::variant<T...>> : std::bool_constant<(IsKeptAsBytes<T>::value && ...)> {};
template <class... T>
struct IsKeptAsBytes<std::tuple<T&...>> : std::bool_constant<(IsKeptAsBytes<T>::value && ...)> {};
template <HasParts T>
struct IsKeptAsBytes<T> : IsKeptAsBytes<decltype(T::parts(std::declval<T&>()))> {};

}  // namespace detail

/// A state that can be kept as bytes outside this process: a trivially copyable type (without pointers), a vector of
/// these, a variant of default-constructible types that can be kept, or a type that names its parts:
///
///     static constexpr auto parts(auto& state) { return std::tie(state.first, state.second); }
template <class T>
concept KeptAsBytes = detail::IsKeptAsBytes<T>::value;

/// The bytes of a state. They mean something only where the types are the same: to programs of one compiler and one
/// version of this library.
class StateBytes {
public:
    /// What to keep a cell's state under: other kinds, names, layouts, machines and versions have other keys.
    /// A cell without a name is nobody else's, and has none.
    template <class M>
    static std::string key(std::string_view kind, std::string_view name, const typename M::Options& options) {
        static_assert(KeptAsBytes<typename M::State>,
                      "breakwater: this store keeps states as bytes: make the machine's (or the trip rule's) State "
                      "trivially copyable, or give it parts(state)");
        std::string key;
        if (name.empty()) return key;
        const std::string layout = M::layout(options);
        for (const std::string_view part : {kind, name, std::string_view{layout}, std::string_view{typeid(M).name()},
                                            std::string_view{BREAKWATER_VERSION_STRING}})
            key.append(std::to_string(part.size())).append(":").append(part);
        return key;
    }

    template <KeptAsBytes T>
    static std::string of(const T& state) {
        std::string bytes;
        append(bytes, state);
        return bytes;
    }
    /// Sets `state` to what the bytes are of. False if they are of no such state, which is then in part overwritten.
    /// Whether the state makes sense is not checked.
    template <KeptAsBytes T>
    static bool read(std::string_view bytes, T& state) {
        return take(bytes, state) && bytes.empty();
    }

private:
    template <class T>
    static void append(std::string& bytes, const T& value) {
        if constexpr (std::is_empty_v<T>) {
            // its one byte may be somebody else's
        } else if constexpr (detail::HasParts<T>) {
            std::apply([&](const auto&... part) { (append(bytes, part), ...); }, T::parts(value));
        } else if constexpr (detail::is_plain<T>) {
            append_objects(bytes, &value, 1);
        } else if constexpr (detail::is_plain_vector<T>) {
            append(bytes, std::uint64_t{value.size()});
            append_objects(bytes, value.data(), value.size());
        } else {
            append(bytes, static_cast<std::uint8_t>(value.index()));
            std::visit([&](const auto& held) { append(bytes, held); }, value);
        }
    }
    template <class T>
    static void append_objects(std::string& bytes, const T* objects, std::size_t count) {
        const std::size_t before = bytes.size();
        bytes.resize(before + count * sizeof(T));
        if (count > 0) std::memcpy(bytes.data() + before, objects, count * sizeof(T));
    }

    template <class T>
    static bool take(std::string_view& bytes, T& value) {
        if constexpr (std::is_empty_v<T>) {
            return true;
        } else if constexpr (detail::HasParts<T>) {
            return std::apply([&](auto&... part) { return (take(bytes, part) && ...); }, T::parts(value));
        } else if constexpr (detail::is_plain<T>) {
            std::array<std::byte, sizeof(T)> object;
            if (!take_objects(bytes, object.data(), 1, sizeof(T))) return false;
            value = std::bit_cast<T>(object);
            return true;
        } else if constexpr (detail::is_plain_vector<T>) {
            constexpr std::size_t each = sizeof(typename T::value_type);
            std::uint64_t size = 0;
            if (!take(bytes, size) || size > bytes.size() / each) return false;
            value.resize(size);
            return take_objects(bytes, value.data(), size, each);
        } else {
            std::uint8_t index = 0;
            return take(bytes, index) && take_alternative(bytes, value, index);
        }
    }
    static bool take_objects(std::string_view& bytes, void* objects, std::size_t count, std::size_t size) {
        if (bytes.size() < count * size) return false;
        if (count > 0) std::memcpy(objects, bytes.data(), count * size);
        bytes.remove_prefix(count * size);
        return true;
    }
    template <class... T>
    static bool take_alternative(std::string_view& bytes, std::variant<T...>& value, std::size_t index) {
        const auto take_as = [&]<std::size_t I>(std::in_place_index_t<I>) {
            if (value.index() != I) value.template emplace<I>();
            return take(bytes, *std::get_if<I>(&value));
        };
        return [&]<std::size_t... I>(std::index_sequence<I...>) {
            return ((index == I && take_as(std::in_place_index<I>)) || ...);
        }(std::index_sequence_for<T...>{});
    }
};

}  // namespace breakwater
