# Finds standalone Asio, whether it brings a CMake package of its own or only headers (Debian), else Boost.Asio: the
# target asio::asio, or where it is Boost's Boost::headers.
find_package(asio QUIET CONFIG)
if(TARGET asio::asio)
    set(asio_library asio::asio)
else()
    find_path(asio_INCLUDE_DIR asio/io_context.hpp)
    mark_as_advanced(asio_INCLUDE_DIR)
    set(asio_library ${asio_INCLUDE_DIR})
    if(NOT asio_library)
        find_package(Boost 1.70 QUIET)
        if(TARGET Boost::headers)
            set(asio_library Boost::headers)
        endif()
    endif()
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(asio REQUIRED_VARS asio_library)

if(asio_FOUND AND asio_INCLUDE_DIR AND NOT TARGET asio::asio)
    add_library(asio::asio INTERFACE IMPORTED)
    set_target_properties(asio::asio PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${asio_INCLUDE_DIR}")
endif()
