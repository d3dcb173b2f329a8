# breakwater_component(NAME [COMPONENTS …] [PACKAGES …] [LINKS …] HEADERS …)
#
# Makes a component known and, if BREAKWATER_COMPONENTS asks for it, defines breakwater::NAME.
#   COMPONENTS  components it builds on
#   PACKAGES    what find_package must find, each as "NAME [VERSION]"
#   LINKS       their targets
#   HEADERS     every header by name, relative to include/breakwater

define_property(GLOBAL PROPERTY BREAKWATER_KNOWN)          # every component
define_property(GLOBAL PROPERTY BREAKWATER_LISTED)         # every header of every component
define_property(GLOBAL PROPERTY BREAKWATER_CONFIG)         # the installed package's table of components

# The components asked for and those they build on.
function(breakwater_is_wanted name result)
    if(name STREQUAL "core" OR name IN_LIST BREAKWATER_COMPONENTS)
        set(${result} TRUE PARENT_SCOPE)
    else()
        set(${result} FALSE PARENT_SCOPE)
    endif()
endfunction()

function(breakwater_component name)
    cmake_parse_arguments(arg "" "" "COMPONENTS;PACKAGES;LINKS;HEADERS" ${ARGN})

    set_property(GLOBAL APPEND PROPERTY BREAKWATER_KNOWN ${name})
    set_property(GLOBAL APPEND PROPERTY BREAKWATER_LISTED ${arg_HEADERS})
    set_property(GLOBAL PROPERTY BREAKWATER_HEADERS_${name} ${arg_HEADERS})
    string(CONCAT config
        "list(APPEND breakwater_components ${name})\n"
        "set(breakwater_${name}_components ${arg_COMPONENTS})\n"
        "set(breakwater_${name}_packages \"${arg_PACKAGES}\")\n")
    set_property(GLOBAL APPEND_STRING PROPERTY BREAKWATER_CONFIG "${config}")

    breakwater_is_wanted(${name} wanted)
    if(NOT wanted)
        return()
    endif()
    foreach(other IN LISTS arg_COMPONENTS)
        if(NOT TARGET breakwater::${other})
            message(FATAL_ERROR "breakwater: component '${name}' builds on '${other}': add it to BREAKWATER_COMPONENTS")
        endif()
    endforeach()
    foreach(package IN LISTS arg_PACKAGES)
        separate_arguments(package)
        find_package(${package} REQUIRED)
    endforeach()

    set(target breakwater_${name})
    if(name STREQUAL PROJECT_NAME)
        set(target breakwater)
    endif()
    list(TRANSFORM arg_HEADERS PREPEND "${PROJECT_SOURCE_DIR}/include/breakwater/")
    list(TRANSFORM arg_COMPONENTS PREPEND "breakwater::")
    add_library(${target} INTERFACE)
    add_library(breakwater::${name} ALIAS ${target})
    target_compile_features(${target} INTERFACE cxx_std_23)
    target_link_libraries(${target} INTERFACE ${arg_COMPONENTS} ${arg_LINKS})
    target_sources(${target} INTERFACE
        FILE_SET HEADERS BASE_DIRS "${PROJECT_SOURCE_DIR}/include" FILES ${arg_HEADERS})
    set_target_properties(${target} PROPERTIES
        EXPORT_NAME ${name}
        VERIFY_INTERFACE_HEADER_SETS ${BREAKWATER_BUILD_TESTS})
    set_property(GLOBAL APPEND PROPERTY BREAKWATER_TARGETS ${target})

    # An export set of its own: who asks for one component is not asked for what another needs.
    install(TARGETS ${target} EXPORT breakwater-${name} FILE_SET HEADERS)
    set_property(GLOBAL APPEND PROPERTY BREAKWATER_BUILT ${name})
endfunction()

# Every component asked for exists, and every header on disk belongs to a component.
function(breakwater_check_components)
    get_property(known GLOBAL PROPERTY BREAKWATER_KNOWN)
    foreach(name IN LISTS BREAKWATER_COMPONENTS)
        if(NOT name IN_LIST known)
            list(JOIN known ", " known)
            message(FATAL_ERROR "breakwater has no component '${name}' (BREAKWATER_COMPONENTS); it has: ${known}")
        endif()
    endforeach()
    if(NOT PROJECT_IS_TOP_LEVEL)
        return()
    endif()
    file(GLOB_RECURSE on_disk CONFIGURE_DEPENDS
        RELATIVE "${PROJECT_SOURCE_DIR}/include/breakwater" "${PROJECT_SOURCE_DIR}/include/*")
    get_property(listed GLOBAL PROPERTY BREAKWATER_LISTED)
    list(REMOVE_ITEM on_disk ${listed})
    if(on_disk)
        list(JOIN on_disk "\n  " on_disk)
        message(FATAL_ERROR "These headers belong to no component yet; list them in cmake/components.cmake:\n  ${on_disk}")
    endif()
endfunction()
