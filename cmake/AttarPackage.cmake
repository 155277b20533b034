# find_package(attar) elsewhere: attar::runtime, the archive with its header. Installed by
# `cmake --install BUILD --prefix P --component runtime`.
include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

set(package ${CMAKE_INSTALL_LIBDIR}/cmake/attar)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/attarConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(TARGETS attar_embedded EXPORT attar COMPONENT runtime)
install(FILES ${PROJECT_SOURCE_DIR}/compress/deploy/attar.h TYPE INCLUDE COMPONENT runtime)
install(EXPORT attar NAMESPACE attar:: FILE attarTargets.cmake DESTINATION ${package} COMPONENT runtime)
install(FILES ${PROJECT_SOURCE_DIR}/cmake/attarConfig.cmake ${PROJECT_BINARY_DIR}/attarConfigVersion.cmake
        DESTINATION ${package} COMPONENT runtime)
