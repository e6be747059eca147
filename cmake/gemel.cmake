# gemel_test(base/slice_test LIBS base): one cmocka program out of tests/base/slice_test.c, one ctest of that name.
# More sources may follow the name. Called from tests/<folder>/CMakeLists.txt.
function(gemel_test name)
  cmake_parse_arguments(T "" "TIMEOUT" "LIBS;SOURCES" ${ARGN})
  string(REPLACE "/" "_" target ${name})
  add_executable(${target} ${CMAKE_SOURCE_DIR}/tests/${name}.c ${CMAKE_SOURCE_DIR}/tests/main.c ${T_SOURCES})
  target_link_libraries(${target} PRIVATE ${T_LIBS} PkgConfig::CMOCKA)
  set_target_properties(${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  add_test(NAME ${name} COMMAND ${target} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  if(NOT T_TIMEOUT)
    set(T_TIMEOUT 120)
  endif()
  set_tests_properties(${name} PROPERTIES TIMEOUT ${T_TIMEOUT})
endfunction()

# gemel_fuzz(base/opt_fuzz LIBS base CORPUS opt): tests/fuzz/<name>.c with LLVMFuzzerTestOneInput. Under GEMEL_FUZZ it
# is a libFuzzer program; otherwise it is linked with a driver that replays the corpus (files or folders as arguments)
# and a few thousand seeded mutations of it, so that every build runs every target.
function(gemel_fuzz name)
  cmake_parse_arguments(F "" "CORPUS" "LIBS" ${ARGN})
  add_executable(${name} ${CMAKE_SOURCE_DIR}/tests/fuzz/${name}.c)
  target_link_libraries(${name} PRIVATE ${F_LIBS})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/fuzz)
  if(GEMEL_FUZZ)
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
    add_test(NAME fuzz/${name} COMMAND ${name} -max_total_time=5 -timeout=5 -rss_limit_mb=1024
             ${CMAKE_BINARY_DIR}/fuzz/${name}.corpus ${CMAKE_SOURCE_DIR}/tests/fuzz/corpus/${F_CORPUS})
    file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/fuzz/${name}.corpus)
  else()
    target_sources(${name} PRIVATE ${CMAKE_SOURCE_DIR}/tests/fuzz/driver.c)
    add_test(NAME fuzz/${name} COMMAND ${name} ${CMAKE_SOURCE_DIR}/tests/fuzz/corpus/${F_CORPUS})
  endif()
  set_tests_properties(fuzz/${name} PROPERTIES TIMEOUT 60)
endfunction()
