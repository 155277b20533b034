# Flags and the helper functions that every folder's CMakeLists.txt uses.

add_library(attar_flags INTERFACE)
target_compile_options(attar_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion -Werror
  # One rounding per operation, the same on every machine: fused steps are written as std::fma.
  -ffp-contract=off)
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
  # What the optimizer believes to see depends on what it inlined; version 12 is known to be wrong about
  # std::string (https://gcc.gnu.org/bugzilla/show_bug.cgi?id=105651). Told, but no error.
  target_compile_options(attar_flags INTERFACE -Wno-error=restrict -Wno-error=array-bounds
    -Wno-error=maybe-uninitialized -Wno-error=stringop-overflow -Wno-error=stringop-overread)
endif()
target_include_directories(attar_flags INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_definitions(attar_flags INTERFACE ATTAR_VERSION="${PROJECT_VERSION}")
if(ATTAR_SANITIZE)
  target_compile_options(attar_flags INTERFACE -fsanitize=${ATTAR_SANITIZE} -fno-omit-frame-pointer)
  target_link_options(attar_flags INTERFACE -fsanitize=${ATTAR_SANITIZE})
endif()

# The headers that most files read, compiled once for libraries and once for test programs (which are compiled
# otherwise, -fPIE): they take a quarter of a file's time. Every file still includes what it uses.
function(attar_precompile)
  set(headers <algorithm> <filesystem> <fmt/format.h> <fmt/ranges.h> <functional> <map> <memory> <nlohmann/json.hpp>
              <optional> <set> <span> <string> <string_view> <variant> <vector>)
  set(empty ${PROJECT_BINARY_DIR}/precompiled.cpp)
  file(CONFIGURE OUTPUT ${empty} CONTENT "")
  add_library(attar_precompiled STATIC ${empty})
  target_link_libraries(attar_precompiled PRIVATE attar_flags fmt::fmt nlohmann_json::nlohmann_json Threads::Threads)
  target_precompile_headers(attar_precompiled PRIVATE ${headers})
  if(ATTAR_TESTS)
    add_executable(attar_precompiled_tests EXCLUDE_FROM_ALL ${empty})
    target_link_libraries(attar_precompiled_tests PRIVATE attar_flags fmt::fmt nlohmann_json::nlohmann_json Threads::Threads
                                                          GTest::gtest_main)
    target_precompile_headers(attar_precompiled_tests PRIVATE ${headers} <gtest/gtest.h>)
  endif()
endfunction()

function(attar_reuse_precompiled target chosen usual)
  if(NOT chosen)
    set(chosen ${usual})
  endif()
  if(NOT chosen STREQUAL NONE)
    target_precompile_headers(${target} REUSE_FROM ${chosen})
  endif()
endfunction()

# attar_library(NAME [PRECOMPILED target] [SOURCES file...] [DEPS target...]): a static library attar_NAME from this
# folder's *.cpp files (or the SOURCES given), with the common precompiled header, another target's, or NONE.
function(attar_library name)
  cmake_parse_arguments(ARG "" "PRECOMPILED" "SOURCES;DEPS" ${ARGN})
  if(NOT ARG_SOURCES)
    file(GLOB ARG_SOURCES CONFIGURE_DEPENDS *.cpp)
  endif()
  if(ARG_SOURCES)
    add_library(attar_${name} STATIC ${ARG_SOURCES})
    target_link_libraries(attar_${name} PUBLIC attar_flags ${ARG_DEPS})
    attar_reuse_precompiled(attar_${name} "${ARG_PRECOMPILED}" attar_precompiled)
  else()
    add_library(attar_${name} INTERFACE)
    target_link_libraries(attar_${name} INTERFACE attar_flags ${ARG_DEPS})
  endif()
endfunction()

# attar_optimize_size(FILE...): for code that runs once a model, such as reading its configuration. It becomes half as
# large; attar-run is to stay small.
function(attar_optimize_size)
  set_source_files_properties(${ARGN} PROPERTIES COMPILE_OPTIONS $<$<CONFIG:Release>:-Os>
                                                 SKIP_PRECOMPILE_HEADERS ON)  # which is for -O3
endfunction()

# attar_test(NAME [PRECOMPILED target] SOURCES file... [DEPS target...] [TIMEOUT seconds]): one GoogleTest program,
# one CTest entry.
function(attar_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT;PRECOMPILED" "SOURCES;DEPS" ${ARGN})
  add_executable(test_${name} ${ARG_SOURCES})
  target_link_libraries(test_${name} PRIVATE attar_flags attar_testing ${ARG_DEPS} GTest::gtest_main)
  attar_reuse_precompiled(test_${name} "${ARG_PRECOMPILED}" attar_precompiled_tests)
  add_test(NAME ${name} COMMAND test_${name})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  set_tests_properties(${name} PROPERTIES TIMEOUT ${ARG_TIMEOUT})
endfunction()

# attar_embed(TARGET FILE SYMBOL): compiles a text file into the target as
# `std::string_view attar::assets::SYMBOL()`, which a header of that folder declares.
function(attar_embed target file symbol)
  set(input ${CMAKE_CURRENT_SOURCE_DIR}/${file})
  set(output ${CMAKE_CURRENT_BINARY_DIR}/${symbol}.embedded.cpp)
  add_custom_command(OUTPUT ${output}
    COMMAND ${CMAKE_COMMAND} -DINPUT=${input} -DOUTPUT=${output} -DSYMBOL=${symbol}
            -P ${PROJECT_SOURCE_DIR}/cmake/embed.cmake
    DEPENDS ${input} ${PROJECT_SOURCE_DIR}/cmake/embed.cmake
    COMMENT "Embedding ${file}" VERBATIM)
  target_sources(${target} PRIVATE ${output})
endfunction()
