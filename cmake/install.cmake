# The installed package: headers, breakwaterConfig.cmake with one targets file per component, LICENSE.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(package_dir ${CMAKE_INSTALL_DATADIR}/cmake/breakwater)
get_property(BREAKWATER_CONFIG GLOBAL PROPERTY BREAKWATER_CONFIG)
configure_package_config_file(cmake/breakwaterConfig.cmake.in breakwaterConfig.cmake
    INSTALL_DESTINATION ${package_dir} NO_SET_AND_CHECK_MACRO NO_CHECK_REQUIRED_COMPONENTS_MACRO)
write_basic_package_version_file(breakwaterConfigVersion.cmake COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/breakwaterConfig.cmake"
              "${CMAKE_CURRENT_BINARY_DIR}/breakwaterConfigVersion.cmake"
              cmake/Findasio.cmake cmake/Findhiredis.cmake
        DESTINATION ${package_dir})
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})

get_property(built GLOBAL PROPERTY BREAKWATER_BUILT)
foreach(name IN LISTS built)
    install(EXPORT breakwater-${name} FILE breakwater-${name}.cmake NAMESPACE breakwater:: DESTINATION ${package_dir})
endforeach()
