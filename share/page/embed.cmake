# SPDX-License-Identifier: Apache-2.0
# Puts the status page together and writes it as bytes in C: cmake -DFROM=DIR -DOUT=FILE -P embed.cmake
#
# @STYLE@ and @SCRIPT@ in page.html become page.css and the scripts; the policy allows what has their
# hashes, and nothing else, to run.
set(scripts text.js charts.js map.js page.js)

# base64 of 64 hex digits
function(base64_of hex ret)
  set(alphabet "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
  set(text "")
  foreach(at RANGE 0 63 3) # 12 bits are two characters; the last 4 bits get zeros
    string(SUBSTRING "${hex}00" ${at} 3 digits)
    math(EXPR high "0x${digits} >> 6")
    math(EXPR low "0x${digits} & 63")
    string(SUBSTRING "${alphabet}" ${high} 1 first)
    string(SUBSTRING "${alphabet}" ${low} 1 second)
    string(APPEND text "${first}${second}")
  endforeach()
  string(SUBSTRING "${text}" 0 43 text)
  set(${ret} "${text}=" PARENT_SCOPE)
endfunction()

file(READ "${FROM}/page.html" page)
file(READ "${FROM}/page.css" style)
set(script "\"use strict\";\n(() => {\n")
foreach(name ${scripts})
  file(READ "${FROM}/${name}" part)
  string(APPEND script "${part}")
endforeach()
string(APPEND script "})();\n")
string(SHA256 style_hex "${style}")
string(SHA256 script_hex "${script}")
base64_of(${style_hex} style_hash)
base64_of(${script_hex} script_hash)
string(REPLACE "@STYLE@" "${style}" page "${page}")
string(REPLACE "@SCRIPT@" "${script}" page "${page}")

string(HEX "${page}" bytes)
string(LENGTH "${bytes}" digits)
math(EXPR size "${digits} / 2")
string(REGEX REPLACE "(................................)" "\\1\n" bytes "${bytes}")
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
file(WRITE "${OUT}" "/* Made from share/page by embed.cmake. */
#include \"page.h\"

const size_t bb_page_size = ${size};
const char bb_page_policy[] =
    \"default-src 'none'; connect-src 'self'; img-src data:; style-src 'sha256-${style_hash}'; \"
    \"script-src 'sha256-${script_hash}'; base-uri 'none'; form-action 'none'; \"
    \"frame-ancestors 'none'\";
const unsigned char bb_page_bytes[] = {
${bytes}};
")
