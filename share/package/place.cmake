# SPDX-License-Identifier: Apache-2.0
# Run at install time, when the prefix is known: units and rules get it, the configuration goes to
# /etc or below the prefix. A configuration that is there is not overwritten.
if(CMAKE_INSTALL_PREFIX STREQUAL "/usr")
  set(etc /etc)
else()
  set(etc ${CMAKE_INSTALL_PREFIX}/etc)
endif()

function(place source folder)
  get_filename_component(name ${source} NAME)
  file(READ ${source} text)
  string(REPLACE "/usr/bin/bb" "${CMAKE_INSTALL_PREFIX}/bin/bb" text "${text}")
  string(REPLACE "/usr/sbin/bb" "${CMAKE_INSTALL_PREFIX}/sbin/bb" text "${text}")
  string(REPLACE "/etc/buddy-blocks" "${etc}/buddy-blocks" text "${text}")
  file(WRITE ${scratch}/${name} "${text}")
  file(INSTALL ${scratch}/${name} DESTINATION ${CMAKE_INSTALL_PREFIX}/${folder})
endfunction()

foreach(unit ${units})
  place(${unit} lib/systemd/system)
endforeach()
place(${rules} lib/udev/rules.d)
if(NOT EXISTS "$ENV{DESTDIR}${etc}/buddy-blocks/buddy-blocks.conf")
  file(READ ${conf} text)
  string(REPLACE "/etc/buddy-blocks" "${etc}/buddy-blocks" text "${text}")
  file(WRITE ${scratch}/buddy-blocks.conf "${text}")
  file(INSTALL ${scratch}/buddy-blocks.conf DESTINATION ${etc}/buddy-blocks)
endif()
