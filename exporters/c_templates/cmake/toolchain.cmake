# @{target}, for cmake --toolchain @{target}.cmake
set(CMAKE_SYSTEM_NAME Generic)
set(CMAKE_SYSTEM_PROCESSOR @{target})
set(CMAKE_C_COMPILER @{compiler})
set(CMAKE_C_FLAGS_INIT "@{flags} -ffunction-sections -fdata-sections")
set(CMAKE_EXE_LINKER_FLAGS_INIT -Wl,--gc-sections)
set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)
