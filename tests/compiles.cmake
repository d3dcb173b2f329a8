# Included: defines breakwater_compile_test(NAME LABEL SOURCE). Run with -P: is that test.
#
# A source's line "// expect: REGEX" says what the compiler must complain about, in our words; "// expect: it compiles"
# that it must not complain. A source that fails for another reason fails the test.
if(NOT CMAKE_SCRIPT_MODE_FILE)
    set(breakwater_compile_script "${CMAKE_CURRENT_LIST_FILE}")
    function(breakwater_compile_test name label source)
        add_test(NAME "${name}"
            COMMAND ${CMAKE_COMMAND} -D "COMPILER=${CMAKE_CXX_COMPILER}" -D "INCLUDE=${PROJECT_SOURCE_DIR}/include"
                -D "SOURCE=${source}" -P "${breakwater_compile_script}")
        set_tests_properties("${name}" PROPERTIES LABELS ${label} TIMEOUT 120)
    endfunction()
    return()
endif()

file(STRINGS "${SOURCE}" expected REGEX "^// expect: " LIMIT_COUNT 1)
string(REGEX REPLACE "^// expect: " "" expected "${expected}")
if(NOT expected)
    message(FATAL_ERROR "${SOURCE} has no line '// expect: …'")
endif()
execute_process(
    COMMAND "${COMPILER}" -std=c++23 -fsyntax-only -Wall -Wextra -Wno-unused -Wno-comment -Werror "-I${INCLUDE}" "${SOURCE}"
    RESULT_VARIABLE status OUTPUT_VARIABLE output ERROR_VARIABLE output)
string(REGEX REPLACE "[^\n]*// expect: [^\n]*" "" output "${output}")
if(expected STREQUAL "it compiles")
    if(NOT status EQUAL 0)
        message(FATAL_ERROR "${SOURCE} must compile, but:\n${output}")
    endif()
elseif(status EQUAL 0)
    message(FATAL_ERROR "${SOURCE} compiles; it must be refused with: ${expected}")
elseif(NOT output MATCHES "${expected}")
    message(FATAL_ERROR "${SOURCE} is refused, but without the words '${expected}':\n${output}")
endif()
