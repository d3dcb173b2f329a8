# clang-format and clang-tidy as tests; tests/run deep turns this on.
find_program(clang_format NAMES clang-format-19 REQUIRED)
find_program(clang_tidy NAMES clang-tidy-19 REQUIRED)

file(GLOB_RECURSE sources CONFIGURE_DEPENDS RELATIVE "${PROJECT_SOURCE_DIR}"
    ../include/*.hpp *.hpp *.cpp ../examples/*.hpp ../examples/*.cpp)
add_test(NAME "lint: clang-format" WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}"
    COMMAND "${clang_format}" --dry-run -Werror ${sources})

# clang-tidy reads every header through one source, and the templates where the examples instantiate them.
get_property(headers GLOBAL PROPERTY BREAKWATER_LISTED)
list(TRANSFORM headers REPLACE "(.+)" "#include <breakwater/\\1>\n")
list(JOIN headers "" headers)
file(CONFIGURE OUTPUT lint/headers.cpp CONTENT "${headers}" @ONLY)
add_library(breakwater_lint OBJECT EXCLUDE_FROM_ALL "${CMAKE_CURRENT_BINARY_DIR}/lint/headers.cpp")
target_link_libraries(breakwater_lint PRIVATE
    breakwater::breakwater breakwater::digest breakwater::redis breakwater::asio breakwater::prometheus
    breakwater_developer)

file(GLOB tidied CONFIGURE_DEPENDS RELATIVE "${PROJECT_SOURCE_DIR}" ../examples/*.cpp ../examples/*/main.cpp)
foreach(source IN LISTS tidied ITEMS "${CMAKE_CURRENT_BINARY_DIR}/lint/headers.cpp")
    string(REGEX REPLACE "^.*/lint/|^examples/|(/main)?\\.cpp$" "" name "${source}")
    set(without)
    if(name STREQUAL asio_client)
        # The analyzer does not see how Asio's coroutines come by the thread that they are attached to.
        set(without --checks=-clang-analyzer-core.CallAndMessage)
    endif()
    add_test(NAME "lint: clang-tidy ${name}" WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}"
        COMMAND "${clang_tidy}" --quiet ${without} -p "${PROJECT_BINARY_DIR}" "${source}")
    set_tests_properties("lint: clang-tidy ${name}" PROPERTIES LABELS lint TIMEOUT 600)
endforeach()
set_tests_properties("lint: clang-format" PROPERTIES LABELS lint)
