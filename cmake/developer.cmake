# For our own tests, examples and benchmarks only; nothing here reaches a user of the library.
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

add_library(breakwater_developer INTERFACE)
set(breakwater_warnings -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror)
target_compile_options(breakwater_developer INTERFACE ${breakwater_warnings}
    # g++ collects no garbage below 700 MB, which makes it a fifth faster.
    $<$<CXX_COMPILER_ID:GNU>:--param=ggc-min-heapsize=700000>)
# Debian 12's Asio (1.22) looks for the coroutines that clang had before it had the standard's.
target_compile_definitions(breakwater_developer INTERFACE $<$<CXX_COMPILER_ID:Clang>:ASIO_HAS_CO_AWAIT>)

# The headers alone, each a translation unit, are held to the same warnings.
get_property(breakwater_targets GLOBAL PROPERTY BREAKWATER_TARGETS)
foreach(target IN LISTS breakwater_targets)
    target_compile_options(${target} INTERFACE
        "$<BUILD_INTERFACE:$<$<STREQUAL:$<TARGET_PROPERTY:NAME>,${target}_verify_interface_header_sets>:${breakwater_warnings}>>")
endforeach()

# cpp-httplib as Debian installs it (pkg-config), or as its own CMake package: the target breakwater_httplib.
macro(breakwater_find_httplib)
    if(NOT TARGET breakwater_httplib)
        add_library(breakwater_httplib INTERFACE)
        find_package(httplib QUIET CONFIG)
        if(httplib_FOUND)
            target_link_libraries(breakwater_httplib INTERFACE httplib::httplib)
        else()
            find_package(PkgConfig REQUIRED)
            pkg_check_modules(httplib REQUIRED IMPORTED_TARGET GLOBAL cpp-httplib)
            target_link_libraries(breakwater_httplib INTERFACE PkgConfig::httplib Threads::Threads)
        endif()
    endif()
endmacro()

# Catch2, version 2 or 3: tests/catch_shim.hpp hides the difference, tests/test_main.cpp brings the main.
macro(breakwater_find_catch2)
    find_package(Catch2 REQUIRED)
    if(Catch2_VERSION VERSION_LESS 3)
        set(catch_fail_if_empty -w NoTests)
        set(catch_pass_if_empty)
    else()
        set(catch_fail_if_empty)
        set(catch_pass_if_empty --allow-running-no-tests)
    endif()
endmacro()
