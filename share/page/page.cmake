# SPDX-License-Identifier: Apache-2.0
# The status page becomes part of bb_http: its pieces are put together and embedded as bytes.
set(BB_PAGE ${CMAKE_CURRENT_SOURCE_DIR}/share/page)
set(BB_PAGE_BYTES ${CMAKE_CURRENT_BINARY_DIR}/page_bytes.c)
file(GLOB pieces CONFIGURE_DEPENDS ${BB_PAGE}/*.html ${BB_PAGE}/*.css ${BB_PAGE}/*.js
  ${BB_PAGE}/embed.cmake)
add_custom_command(OUTPUT ${BB_PAGE_BYTES} DEPENDS ${pieces} VERBATIM
  COMMAND ${CMAKE_COMMAND} -DFROM=${BB_PAGE} -DOUT=${BB_PAGE_BYTES} -P ${BB_PAGE}/embed.cmake)
target_sources(bb_http PRIVATE ${BB_PAGE_BYTES})
target_include_directories(bb_http PRIVATE src/http)
