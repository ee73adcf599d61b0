# What all our code is compiled with. -ffp-contract=off: the same source gives the same bits everywhere
# (contracts); convolution tiles switch it on for themselves. No -march=native, never -ffast-math.
add_library(expunge_flags INTERFACE)
target_include_directories(expunge_flags INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_options(expunge_flags INTERFACE
  -Wall -Wextra -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual
  -fno-math-errno -fno-trapping-math -ffp-contract=off
  -fmacro-prefix-map=${PROJECT_SOURCE_DIR}/=)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  target_compile_options(expunge_flags INTERFACE -Wno-restrict)  # false alarms on std::string, GCC PR105651
endif()
if(EXPUNGE_WERROR)
  target_compile_options(expunge_flags INTERFACE -Werror)
endif()
if(EXPUNGE_SANITIZE)
  target_compile_options(expunge_flags INTERFACE -fsanitize=${EXPUNGE_SANITIZE} -fno-omit-frame-pointer
    -fno-sanitize-recover=all)
  target_link_options(expunge_flags INTERFACE -fsanitize=${EXPUNGE_SANITIZE})
endif()
target_link_libraries(expunge_flags INTERFACE expunge_fmt Threads::Threads)

# expunge_library(NAME [LIBRARIES...]): every .cpp of this folder and its ops/ as one static library; those that
# call CUDA or cuDNN where the build has that.
function(expunge_library name)
  file(GLOB sources CONFIGURE_DEPENDS *.cpp ops/*.cpp)
  if(EXPUNGE_CUDA STREQUAL "off")
    list(FILTER sources EXCLUDE REGEX "_(cuda|cudnn)\\.cpp$")
  endif()
  add_library(${name} STATIC ${sources})
  target_link_libraries(${name} PUBLIC expunge_flags ${ARGN})
endfunction()
