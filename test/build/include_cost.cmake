# What including one public header costs, against SPEC promise 12: the CPU time of `g++ -std=c++20 -fsyntax-only`, the
# minimum of 5.  User and system time together: the kernel counts their sum exactly, and their shares by sampling.
#   cmake -D ROOT=<weft> -D OUT=<scratch> -D COMPILER=g++ -P include_cost.cmake

cmake_minimum_required(VERSION 3.25)
set(rounds 5)

# Held to <chrono>'s budget without naming std::chrono themselves: SPEC's list, and schedule.hpp, which brings runtime::run_for().
set(with_time "^(error|schedule|stop_token|sim|stats|dump)\\.hpp$|^io/")

set(out ${OUT}/include_cost)
file(REMOVE_RECURSE ${out})
file(MAKE_DIRECTORY ${out})

# CPU time in milliseconds of compiling `source`.
function(compile source ms)
  execute_process(
    COMMAND bash -c "TIMEFORMAT='cpu %U %S'; time ${COMPILER} -std=c++20 -fsyntax-only -I '${ROOT}/include' '${source}'"
    RESULT_VARIABLE code ERROR_VARIABLE said)
  if(NOT code EQUAL 0 OR NOT said MATCHES "cpu ([0-9]+)[.,]([0-9]+) ([0-9]+)[.,]([0-9]+)")
    message(FATAL_ERROR "${source} does not compile alone:\n${said}")
  endif()
  math(EXPR spent "${CMAKE_MATCH_1} * 1000 + 1${CMAKE_MATCH_2} - 1000 + ${CMAKE_MATCH_3} * 1000 + 1${CMAKE_MATCH_4} - 1000")
  set(${ms} ${spent} PARENT_SCOPE)
endfunction()

# The minimum over the rounds; stops early once it is below `enough`, since it can only fall.
function(cost name text enough ms)
  string(REPLACE "/" "_" file "${name}")
  file(WRITE ${out}/${file}.cpp "${text}")
  set(least 1000000)
  foreach(i RANGE 1 ${rounds})
    compile(${out}/${file}.cpp spent)
    if(spent LESS least)
      set(least ${spent})
    endif()
    if(least LESS_EQUAL enough)
      break()
    endif()
  endforeach()
  set(${ms} ${least} PARENT_SCOPE)
endfunction()

cost(warm-up "#include <chrono>\n" 0 chrono)
cost(plain "#include <optional>\n#include <coroutine>\n#include <tuple>\n#include <string_view>\n" 0 plain)
cost(chrono "#include <chrono>\n" 0 chrono)
math(EXPR budget_plain "${plain} * 15 / 10")
math(EXPR budget_time "${chrono} * 13 / 10")
math(EXPR budget_all "${chrono} * 2")
message("${budget_plain} ms (1.5 x ${plain}) without time, ${budget_time} ms (1.3 x ${chrono}) with, ${budget_all} ms for weft.hpp")

set(over "")
file(GLOB_RECURSE headers RELATIVE ${ROOT}/include/weft ${ROOT}/include/weft/*.hpp)
list(FILTER headers EXCLUDE REGEX "^detail/")
foreach(header IN LISTS headers)
  file(READ ${ROOT}/include/weft/${header} text)
  string(REGEX REPLACE "//[^\n]*" "" text "${text}")
  set(budget ${budget_plain})
  if(header STREQUAL "weft.hpp")
    set(budget ${budget_all})
  elseif(header MATCHES "${with_time}" OR text MATCHES "std::chrono::")
    set(budget ${budget_time})
  endif()
  cost(weft/${header} "#include <weft/${header}>\n" ${budget} ms)
  message("${ms} of ${budget} ms  <weft/${header}>")
  if(ms GREATER budget)
    string(APPEND over "  <weft/${header}>: ${ms} ms, the budget is ${budget} ms\n")
  endif()
endforeach()
if(over)
  message(FATAL_ERROR "too dear to include:\n${over}")
endif()
