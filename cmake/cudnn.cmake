# cuDNN 9 and cuBLAS with their headers, of the CUDA toolkit, a package, or Python's wheels of them (EXPUNGE_CUDNN_ROOT
# is then .../site-packages/nvidia/cudnn). cuDNN's plans can be asked for and tested without a GPU, so this does not
# depend on EXPUNGE_CUDA.
find_package(CUDAToolkit QUIET)
set(EXPUNGE_CUDNN_ROOT "" CACHE PATH "where cuDNN's include and lib are, if not in the usual places")
set(cudnn_places HINTS ${EXPUNGE_CUDNN_ROOT} ${CUDAToolkit_LIBRARY_ROOT} ${CUDAToolkit_LIBRARY_DIR}
    PATH_SUFFIXES lib lib64)
find_path(EXPUNGE_CUDNN_INCLUDE cudnn_backend.h HINTS ${EXPUNGE_CUDNN_ROOT} ${CUDAToolkit_INCLUDE_DIRS}
          PATH_SUFFIXES include)
find_library(EXPUNGE_CUDNN_LIBRARY NAMES cudnn libcudnn.so.9 ${cudnn_places})
find_library(EXPUNGE_CUDNN_GRAPH_LIBRARY NAMES cudnn_graph libcudnn_graph.so.9 ${cudnn_places})
find_library(EXPUNGE_CUBLAS_LIBRARY NAMES cublas libcublas.so.13 libcublas.so.12
             HINTS ${CUDAToolkit_LIBRARY_DIR} ${EXPUNGE_CUDNN_ROOT}/../cu13/lib ${EXPUNGE_CUDNN_ROOT}/../cublas/lib)
find_path(EXPUNGE_CUBLAS_INCLUDE cublas_v2.h
          HINTS ${CUDAToolkit_INCLUDE_DIRS} ${EXPUNGE_CUDNN_ROOT}/../cu13/include ${EXPUNGE_CUDNN_ROOT}/../cublas/include)
if(CUDAToolkit_FOUND AND EXPUNGE_CUDNN_INCLUDE AND EXPUNGE_CUDNN_LIBRARY AND EXPUNGE_CUDNN_GRAPH_LIBRARY AND
   EXPUNGE_CUBLAS_LIBRARY AND EXPUNGE_CUBLAS_INCLUDE)
  set(EXPUNGE_HAS_CUDNN ON)
  add_library(cudnn INTERFACE)
  target_include_directories(cudnn SYSTEM INTERFACE ${EXPUNGE_CUDNN_INCLUDE} ${CUDAToolkit_INCLUDE_DIRS}
                             ${EXPUNGE_CUBLAS_INCLUDE})
  target_link_libraries(cudnn INTERFACE ${EXPUNGE_CUDNN_LIBRARY} ${EXPUNGE_CUDNN_GRAPH_LIBRARY}
                        ${EXPUNGE_CUBLAS_LIBRARY})
elseif(EXPUNGE_CUDA STREQUAL "on")
  message(FATAL_ERROR "EXPUNGE_CUDA=on needs cuDNN 9 and cuBLAS with their headers; found: "
                      "${EXPUNGE_CUDNN_INCLUDE}, ${EXPUNGE_CUDNN_LIBRARY}, ${EXPUNGE_CUDNN_GRAPH_LIBRARY}, "
                      "${EXPUNGE_CUBLAS_INCLUDE}, ${EXPUNGE_CUBLAS_LIBRARY} (EXPUNGE_CUDNN_ROOT says where to look)")
else()
  set(EXPUNGE_HAS_CUDNN OFF)
  message(STATUS "cuDNN not found: the tests that ask it for plans are left out")
endif()
