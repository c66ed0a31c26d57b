# README says what is so: its C++ programs compile without warnings, run and end with 0; the tests that its guarantees
# name exist.
#   cmake -D ROOT=<weft> -D OUT=<scratch> -D COMPILER=g++ -D SANITIZE= -D LIBRARY=libweft.a
#         -D BUILD=<its build> -P readme_check.cmake
#
# A program is a ```cpp block with `int main`.  A guarantee is an item of the section "Guarantees"; it names its tests,
# each in double quotes, as ctest lists it.

cmake_minimum_required(VERSION 3.25)
set(out ${OUT}/readme)
set(wrong "")
file(REMOVE_RECURSE ${out})
file(READ ${ROOT}/README.md readme)

# --- programs --------------------------------------------------------------------------------------------------------

set(flags -std=c++20 -Wall -Wextra -Wpedantic -Werror)
if(SANITIZE)
  set(flags -std=c++20 -O1 -g1 -Wall -Wextra -fsanitize=${SANITIZE} -fno-sanitize-recover=all)
endif()

set(count 0)
set(rest "${readme}")
while(TRUE)
  string(FIND "${rest}" "\n```cpp\n" at)
  if(at EQUAL -1)
    break()
  endif()
  math(EXPR at "${at} + 8")
  string(SUBSTRING "${rest}" ${at} -1 rest)
  string(FIND "${rest}" "\n```" end)
  string(SUBSTRING "${rest}" 0 ${end} program)
  if(NOT program MATCHES "int main")
    continue()
  endif()
  math(EXPR count "${count} + 1")
  file(WRITE ${out}/${count}.cpp "${program}\n")
  execute_process(
    COMMAND ${COMPILER} ${flags} -I ${ROOT}/include ${out}/${count}.cpp -o ${out}/${count} ${LIBRARY} -lfmt -pthread
    RESULT_VARIABLE code ERROR_VARIABLE said)
  if(NOT code EQUAL 0)
    string(APPEND wrong "program ${count} does not compile:\n${program}\n${said}\n")
    continue()
  endif()
  execute_process(COMMAND ${out}/${count} TIMEOUT 20 RESULT_VARIABLE code OUTPUT_VARIABLE said ERROR_VARIABLE said)
  if(NOT code EQUAL 0)
    string(APPEND wrong "program ${count} ended with ${code}:\n${program}\n${said}\n")
  endif()
endwhile()
if(count EQUAL 0)
  string(APPEND wrong "no program in README.md\n")
endif()

# --- guarantees ------------------------------------------------------------------------------------------------------

if(NOT SANITIZE)  # with all tests, those without sanitizers included
  execute_process(COMMAND ${CMAKE_CTEST_COMMAND} --test-dir ${BUILD} -N OUTPUT_VARIABLE known COMMAND_ERROR_IS_FATAL ANY)
  string(REGEX REPLACE "[;[]" "," known "${known}")
  string(REGEX REPLACE "[]]" "," known "${known}")
endif()
file(READ ${ROOT}/test/build/CMakeLists.txt here)  # include_cost is listed in one preset only

string(REGEX MATCH "\n## Guarantees\n.*" section "${readme}")
string(REGEX REPLACE "^\n## Guarantees\n" "" section "${section}")
string(REGEX REPLACE "\n## .*$" "" section "${section}")
string(REGEX REPLACE "[;[]" "," section "${section}")
string(REGEX REPLACE "[]]" "," section "${section}")
string(REGEX REPLACE "\n(- |[0-9]+\\. )" ";" items "\n${section}")
if(items MATCHES ";")
  list(POP_FRONT items)
else()
  set(items "")
  string(APPEND wrong "the section Guarantees of README.md has no item\n")
endif()
foreach(item IN LISTS items)
  string(REGEX REPLACE "[ \t\n]+" " " item "${item}")
  string(REGEX MATCHALL "\"[^\"]+\"" names "${item}")
  if(NOT names)
    string(APPEND wrong "a guarantee without a test: ${item}\n")
  endif()
  foreach(name IN LISTS names)
    string(REPLACE "\"" "" bare "${name}")
    string(FIND "${known}" ": ${bare}\n" in_ctest)
    string(FIND "${here}" "NAME ${bare} " in_build)
    if(NOT SANITIZE AND in_ctest EQUAL -1 AND in_build EQUAL -1)
      string(APPEND wrong "no such test: ${name}\n")
    endif()
  endforeach()
endforeach()

if(wrong)
  message(FATAL_ERROR "README.md:\n${wrong}")
endif()
