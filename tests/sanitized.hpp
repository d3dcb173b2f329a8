#pragma once

namespace test {

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define BREAKWATER_TEST_THREAD_SANITIZER
#endif
#if __has_feature(address_sanitizer)
#define BREAKWATER_TEST_ADDRESS_SANITIZER
#endif
#endif

#ifdef BREAKWATER_TEST_THREAD_SANITIZER
inline constexpr bool under_thread_sanitizer = true;
#else
inline constexpr bool under_thread_sanitizer = false;
#endif
#ifdef BREAKWATER_TEST_ADDRESS_SANITIZER
inline constexpr bool under_address_sanitizer = true;
#else
inline constexpr bool under_address_sanitizer = false;
#endif

}  // namespace test
