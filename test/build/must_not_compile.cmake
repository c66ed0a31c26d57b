# A program that must be refused, with the message that its first line names: `// expect: <regular expression>`.
# A second line `// only: GNU` (or Clang) limits it to one compiler.
# A program that mentions WEFT_SAFE holds the safe spelling too, and must compile when that is defined: so it is refused
# for the reason it names and not for a slip.
#   cmake -D SOURCE=x.cpp -D COMPILER=g++ -D COMPILER_ID=GNU -D ROOT=<weft> -P must_not_compile.cmake

cmake_minimum_required(VERSION 3.25)
file(READ ${SOURCE} text)
if(NOT text MATCHES "^// expect: ([^\n]+)\n")
  message(FATAL_ERROR "the first line must be `// expect: <regular expression>`")
endif()
set(expected "${CMAKE_MATCH_1}")
if(text MATCHES "^[^\n]+\n// only: ([A-Za-z]+)\n" AND NOT CMAKE_MATCH_1 STREQUAL COMPILER_ID)
  message("skipped: for ${CMAKE_MATCH_1} only")
  return()
endif()

set(compile ${COMPILER} -std=c++20 -Wall -Wextra -fsyntax-only -fdiagnostics-color=never -I ${ROOT}/include)
execute_process(COMMAND ${compile} ${SOURCE} RESULT_VARIABLE code ERROR_VARIABLE said)
if(code EQUAL 0)
  message(FATAL_ERROR "it compiles")
endif()
if(NOT said MATCHES "${expected}")
  message(FATAL_ERROR "refused, but not with: ${expected}\n${said}")
endif()
if(text MATCHES "WEFT_SAFE")
  execute_process(COMMAND ${compile} -D WEFT_SAFE ${SOURCE} RESULT_VARIABLE code ERROR_VARIABLE said)
  if(NOT code EQUAL 0)
    message(FATAL_ERROR "the safe spelling does not compile:\n${said}")
  endif()
endif()
