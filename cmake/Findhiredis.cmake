# Finds hiredis, whether it brings a CMake package of its own (since 1.0) or only a header and a library (Debian 12's
# 0.14): the target hiredis::hiredis, and hiredis::hiredis_ssl where its part for TLS is there, too.
find_package(hiredis QUIET CONFIG)
if(TARGET hiredis::hiredis)
    find_package(hiredis_ssl QUIET CONFIG)
    set(hiredis_library hiredis::hiredis)
else()
    find_package(PkgConfig QUIET)
    if(PkgConfig_FOUND)
        pkg_check_modules(hiredis_pc QUIET hiredis)
    endif()
    # Included as <hiredis/hiredis.h>, which is above the directory that pkg-config may name.
    find_path(hiredis_INCLUDE_DIR hiredis/hiredis.h HINTS ${hiredis_pc_INCLUDEDIR} ${hiredis_pc_INCLUDE_DIRS}
        PATH_SUFFIXES ..)
    find_library(hiredis_LIBRARY hiredis HINTS ${hiredis_pc_LIBRARY_DIRS})
    find_library(hiredis_SSL_LIBRARY hiredis_ssl HINTS ${hiredis_pc_LIBRARY_DIRS})
    mark_as_advanced(hiredis_INCLUDE_DIR hiredis_LIBRARY hiredis_SSL_LIBRARY)
    set(hiredis_library ${hiredis_LIBRARY})
    set(hiredis_VERSION ${hiredis_pc_VERSION})
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(hiredis REQUIRED_VARS hiredis_library VERSION_VAR hiredis_VERSION)

if(hiredis_FOUND AND NOT TARGET hiredis::hiredis)
    add_library(hiredis::hiredis UNKNOWN IMPORTED)
    set_target_properties(hiredis::hiredis PROPERTIES
        IMPORTED_LOCATION "${hiredis_LIBRARY}" INTERFACE_INCLUDE_DIRECTORIES "${hiredis_INCLUDE_DIR}")
    if(hiredis_SSL_LIBRARY AND EXISTS "${hiredis_INCLUDE_DIR}/hiredis/hiredis_ssl.h")
        add_library(hiredis::hiredis_ssl UNKNOWN IMPORTED)
        set_target_properties(hiredis::hiredis_ssl PROPERTIES
            IMPORTED_LOCATION "${hiredis_SSL_LIBRARY}" INTERFACE_LINK_LIBRARIES hiredis::hiredis)
    endif()
endif()
