# House rules that a compiler does not check.  Run by ctest; needs nothing but CMake.
#   cmake -D ROOT=<source dir> -P house.cmake
# house_selftest.cmake breaks each rule once: a new rule gets a case there.
#
# Rules about code look at lines without their // comments; rules about words look at whole lines.

cmake_minimum_required(VERSION 3.25)

# --- what may be extended, with a reason -----------------------------------------------------------------------------

set(floors base os sched core "chan|sync|io" "blocking|observe|sim")  # lowest first; a|b are neighbours
set(top_level CMakeLists.txt CMakePresets.json lib include test perf samples README.md build)  # and hidden files
set(cap_lib 600)
set(cap_header 400)
set(cap_test 500)
set(cap_cmake 60)  # the top CMakeLists.txt

# The only files that may hold a thread_local: its address must not be cached across a suspension.
set(thread_local_files
  lib/os/contention.cpp
  lib/os/lock.cpp
  lib/os/port.cpp
  lib/sched/current.cpp
  lib/sched/frame_pool.cpp)

# Standard headers that cost every user 0.2 s and more, and the public headers that are allowed one.
set(heavy "atomic|vector|string|functional|memory|mutex|shared_mutex|condition_variable|thread|map|unordered_map|set")
string(APPEND heavy "|unordered_set|deque|list|iostream|ostream|istream|sstream|fstream|format|ranges|algorithm|regex|random")
set(heavy_allowed "include/weft/all_range.hpp: <vector>")

# --- helpers ---------------------------------------------------------------------------------------------------------

set(broken "")

function(report file rule)
  file(RELATIVE_PATH short ${ROOT} ${file})
  set(broken "${broken}  ${short}: ${rule}\n" PARENT_SCOPE)
endfunction()

# Characters that CMake's lists trip over, replaced while lines are list items.
string(ASCII 1 semicolon)
string(ASCII 2 opening)
string(ASCII 3 closing)
string(ASCII 4 backslash)

# The lines of `file` that match `regex`, stripped.
function(lines_with file regex out)
  set(${out} "" PARENT_SCOPE)
  file(READ ${file} text)
  if(NOT text MATCHES "${regex}")
    return()
  endif()
  string(REPLACE ";" "${semicolon}" text "${text}")
  string(REPLACE "[" "${opening}" text "${text}")
  string(REPLACE "]" "${closing}" text "${text}")
  string(REPLACE "\\" "${backslash}" text "${text}")
  string(REPLACE "\n" ";" text "${text}")
  list(FILTER text INCLUDE REGEX "${regex}")
  list(TRANSFORM text STRIP)
  set(${out} "${text}" PARENT_SCOPE)
endfunction()

# The same for code: comments are cut off first, then `regex` must still match.
function(code_with file regex out)
  lines_with(${file} "${regex}" found)
  set(kept "")
  foreach(line IN LISTS found)
    string(REGEX REPLACE "//.*$" "" code "${line}")
    if(code MATCHES "${regex}")
      list(APPEND kept "${line}")
    endif()
  endforeach()
  set(${out} "${kept}" PARENT_SCOPE)
endfunction()

# What `file` includes, as it is spelled: <x> or "x".
function(includes_of file out)
  file(STRINGS ${file} found REGEX "^[ \t]*#[ \t]*include" ENCODING UTF-8)
  list(TRANSFORM found REPLACE "^[ \t]*#[ \t]*include[ \t]*([<\"][^>\"]*[>\"]).*$" "\\1")
  set(${out} "${found}" PARENT_SCOPE)
endfunction()

function(floor_of name out)
  set(${out} -1 PARENT_SCOPE)
  set(i 0)
  foreach(names IN LISTS floors)
    if(name MATCHES "^(${names})$")
      set(${out} ${i} PARENT_SCOPE)
    endif()
    math(EXPR i "${i} + 1")
  endforeach()
endfunction()

macro(check_size file cap)
  file(READ ${file} text)
  string(REGEX REPLACE "[^\n]+" "" newlines "${text}")
  string(LENGTH "${newlines}" count)
  if(count GREATER ${cap})
    report(${file} "${count} lines, the cap is ${cap}")
  endif()
endmacro()

# --- the tree --------------------------------------------------------------------------------------------------------

file(GLOB entries RELATIVE ${ROOT} ${ROOT}/*)
foreach(entry IN LISTS entries)
  if(NOT entry IN_LIST top_level AND NOT entry MATCHES "^\\.")
    report(${ROOT}/${entry} "not part of the top level")
  endif()
endforeach()

file(GLOB_RECURSE sources ${ROOT}/lib/*.cpp ${ROOT}/lib/*.hpp)
file(GLOB_RECURSE headers ${ROOT}/include/*)
file(GLOB_RECURSE tests ${ROOT}/test/*.cpp ${ROOT}/test/*.hpp)
file(GLOB_RECURSE programs ${ROOT}/samples/*.cpp ${ROOT}/samples/*.hpp ${ROOT}/perf/*.cpp ${ROOT}/perf/*.hpp)
file(GLOB_RECURSE user_code ${ROOT}/samples/*.cpp ${ROOT}/samples/*.hpp ${ROOT}/test/api/*.cpp ${ROOT}/test/api/*.hpp)

foreach(file IN LISTS sources)
  check_size(${file} ${cap_lib})
endforeach()
foreach(file IN LISTS headers)
  check_size(${file} ${cap_header})
endforeach()
foreach(file IN LISTS tests)
  check_size(${file} ${cap_test})
endforeach()
if(EXISTS ${ROOT}/CMakeLists.txt)
  check_size(${ROOT}/CMakeLists.txt ${cap_cmake})
endif()

# --- words -----------------------------------------------------------------------------------------------------------

foreach(file IN LISTS sources headers tests programs)
  lines_with(${file} "(^|[^A-Za-z0-9_])(TODO|FIXME|XXX)([^A-Za-z0-9_]|$)" found)
  foreach(line IN LISTS found)
    report(${file} "unfinished: ${line}")
  endforeach()
endforeach()

foreach(file IN LISTS sources headers)
  file(RELATIVE_PATH name ${ROOT} ${file})

  code_with(${file} "memory_order(_|::)(acquire|release|acq_rel|seq_cst)|__ATOMIC_(ACQUIRE|RELEASE|ACQ_REL|SEQ_CST)" found)
  foreach(line IN LISTS found)
    if(NOT line MATCHES "// *[A-Z]+[0-9]+")
      report(${file} "order without a label: ${line}")
    endif()
  endforeach()

  set(banned "std::c(out|err|log)|atomic_thread_fence|atomic_signal_fence|(memory_order(_|::)|__ATOMIC_)(consume|CONSUME)")
  string(APPEND banned "|std::(counting_semaphore|binary_semaphore|latch|barrier)([^a-z_]|$)")
  string(APPEND banned "|#[ \t]*include[ \t]*<(semaphore|latch|barrier)>")
  code_with(${file} "${banned}" found)
  foreach(line IN LISTS found)
    report(${file} "banned: ${line}")
  endforeach()

  code_with(${file} "(^|[^A-Za-z_])volatile([^A-Za-z_]|$)" found)
  foreach(line IN LISTS found)
    if(NOT line MATCHES "asm(__)? +(__)?volatile")
      report(${file} "volatile is for asm: ${line}")
    endif()
  endforeach()

  if(NOT name IN_LIST thread_local_files)
    code_with(${file} "(^|[^A-Za-z_])(thread_local|__thread)([^A-Za-z_]|$)" found)
    foreach(line IN LISTS found)
      report(${file} "thread_local outside the listed files: ${line}")
    endforeach()
  endif()
endforeach()

foreach(file IN LISTS tests)
  if(file MATCHES "_test\\.cpp$")
    code_with(${file} "(^|[^A-Za-z_])(sleep_for|sleep_until|usleep|nanosleep|sleep) *\\(|this_thread" found)
    foreach(line IN LISTS found)
      # What is weft's own to sleep with is what is tested.
      string(REGEX REPLACE "(weft|blocking)::sleep_(for|until)" "" rest "${line}")
      string(REGEX REPLACE "co_await sleep_(for|until)" "" rest "${rest}")
      if(rest MATCHES "(sleep_for|sleep_until|usleep|nanosleep|sleep) *\\(|this_thread"
         AND NOT line MATCHES "// house: sleeps because [^ ]")
        report(${file} "sleeps: ${line}")
      endif()
    endforeach()
  endif()
endforeach()

foreach(file IN LISTS user_code ITEMS ${ROOT}/README.md)
  if(EXISTS ${file})
    lines_with(${file} "detail::|weft/detail/" found)
    foreach(line IN LISTS found)
      report(${file} "detail is not for users: ${line}")
    endforeach()
  endif()
endforeach()

# --- who includes whom -----------------------------------------------------------------------------------------------

foreach(file IN LISTS sources)
  file(RELATIVE_PATH name ${ROOT}/lib ${file})
  string(REGEX REPLACE "/.*$" "" own "${name}")
  floor_of("${own}" i)
  if(i EQUAL -1)
    report(${file} "${own} is not a floor")
  endif()
  includes_of(${file} found)
  foreach(include IN LISTS found)
    if(include MATCHES "^\"([a-z_]+)/[a-z_0-9]+\\.hpp\"$")
      set(used ${CMAKE_MATCH_1})
      floor_of("${used}" j)
      if(j EQUAL -1)
        report(${file} "${used} is not a floor: ${include}")
      elseif(j GREATER i OR (j EQUAL i AND NOT used STREQUAL own))
        report(${file} "${own} may not include ${used}")
      endif()
    elseif(include MATCHES "^\"")
      report(${file} "not spelled \"floor/file.hpp\": ${include}")
    elseif(include STREQUAL "<weft/weft.hpp>")
      report(${file} "weft.hpp is for users")
    endif()
  endforeach()
  if(file MATCHES "\\.hpp$")
    file(STRINGS ${file} guard REGEX "^#pragma once$" ENCODING UTF-8)
    if(NOT guard)
      report(${file} "#pragma once is missing")
    endif()
  endif()
endforeach()

foreach(file IN LISTS headers)
  file(RELATIVE_PATH name ${ROOT} ${file})
  if(NOT file MATCHES "/include/weft/.*\\.hpp$")
    report(${file} "include/ holds weft/*.hpp only")
  endif()
  file(STRINGS ${file} first LIMIT_COUNT 1 ENCODING UTF-8)
  if(NOT first STREQUAL "#pragma once")
    report(${file} "the first line is not #pragma once")
  endif()
  includes_of(${file} found)
  foreach(include IN LISTS found)
    if(NOT include MATCHES "^<(weft/[a-z_0-9/]+\\.hpp|[a-z_0-9]+)>$")
      report(${file} "neither <weft/...> nor the standard library: ${include}")
    elseif(include MATCHES "^<(${heavy})>$" AND NOT "${name}: ${include}" IN_LIST heavy_allowed)
      report(${file} "heavy header: ${include}")
    endif()
  endforeach()
endforeach()

# --- lists against the disk ------------------------------------------------------------------------------------------

# The words of a CMake file that stand in comments do not count.
function(listed_in file out)
  set(text "")
  if(EXISTS ${file})
    file(READ ${file} text)
    string(REGEX REPLACE "#[^\n]*" "" text "${text}")
    string(REGEX REPLACE "[ \t\n()]+" ";" text "${text}")
  endif()
  set(${out} "${text}" PARENT_SCOPE)
endfunction()

listed_in(${ROOT}/lib/CMakeLists.txt listed)
foreach(file IN LISTS headers)
  file(RELATIVE_PATH name ${ROOT}/include/weft ${file})
  if(NOT name IN_LIST listed)
    report(${file} "not in lib/CMakeLists.txt, so it is neither installed nor checked alone")
  endif()
endforeach()
foreach(file IN LISTS sources)
  file(RELATIVE_PATH name ${ROOT}/lib ${file})
  if(file MATCHES "\\.cpp$" AND NOT name IN_LIST listed)
    report(${file} "not in lib/CMakeLists.txt")
  endif()
endforeach()

# weft_test(<folder> <file>...): a file counts for the folder of the call that it stands in.
set(listed "")
set(folder "")
listed_in(${ROOT}/test/CMakeLists.txt words)
foreach(word IN LISTS words)
  if(previous STREQUAL "weft_test")
    set(folder ${word})
  elseif(word MATCHES "\\.cpp$")
    list(APPEND listed ${folder}/${word})
  endif()
  string(CONCAT previous "${word}")
endforeach()
foreach(file IN LISTS tests)
  file(RELATIVE_PATH name ${ROOT}/test ${file})
  if(name MATCHES "_test\\.cpp$" AND NOT name IN_LIST listed)
    report(${file} "not in test/CMakeLists.txt")
  endif()
endforeach()

if(broken)
  string(REPLACE "${semicolon}" ";" broken "${broken}")
  string(REPLACE "${opening}" "[" broken "${broken}")
  string(REPLACE "${closing}" "]" broken "${broken}")
  string(REPLACE "${backslash}" "\\" broken "${broken}")
  message(FATAL_ERROR "house rules broken:\n${broken}")
endif()
