# Configures, builds and runs a consumer project in an empty folder, as its user would.
#   cmake -D KIND=subdirectory|find_package -D COMPILER=g++ -D ROOT=<weft> -D WEFT_BUILD=<its build> -D OUT=<scratch>
#         -P consumer.cmake

cmake_minimum_required(VERSION 3.25)
cmake_path(GET COMPILER FILENAME short)
string(MAKE_C_IDENTIFIER ${KIND}_${short} name)
set(out ${OUT}/consumer/${name})
file(REMOVE_RECURSE ${out})
find_program(ccache ccache)

function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE code OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(NOT code EQUAL 0)
    message(FATAL_ERROR "${ARGN}\nended with ${code}\n${output}")
  endif()
endfunction()

if(KIND STREQUAL "find_package")
  run(${CMAKE_COMMAND} --install ${WEFT_BUILD} --prefix ${out}/prefix)
  set(where -D CMAKE_PREFIX_PATH=${out}/prefix)
else()
  set(where -D WEFT_SOURCE=${ROOT})
endif()
if(ccache)
  set(launcher -D CMAKE_CXX_COMPILER_LAUNCHER=${ccache})
endif()
run(${CMAKE_COMMAND} -S ${ROOT}/test/build/${KIND} -B ${out}/build -G Ninja ${where}
  -D CMAKE_CXX_COMPILER=${COMPILER} ${launcher})
run(${CMAKE_COMMAND} --build ${out}/build --parallel 2)
run(${out}/build/consumer)
