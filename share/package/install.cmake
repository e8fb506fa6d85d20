# SPDX-License-Identifier: Apache-2.0
# What is installed beside the programs, and the Debian package of it all (cpack -G DEB).
#
# Units and rules name programs by their full path, so the prefix of the installation is written into
# them when it is known: at install time. With prefix /usr the configuration goes to /etc, else below
# the prefix.
set(BB_SHARE ${CMAKE_CURRENT_SOURCE_DIR}/share)
find_program(BB_GZIP gzip REQUIRED)

# Manual pages and the changelog are installed compressed, without a date in them.
file(GLOB pages CONFIGURE_DEPENDS ${BB_SHARE}/man/*.[158])
set(packed)
foreach(page ${pages} ${BB_SHARE}/package/changelog)
  get_filename_component(name ${page} NAME)
  set(out ${CMAKE_CURRENT_BINARY_DIR}/packed/${name}.gz)
  add_custom_command(OUTPUT ${out} DEPENDS ${page}
    COMMAND ${CMAKE_COMMAND} -E make_directory ${CMAKE_CURRENT_BINARY_DIR}/packed
    COMMAND sh -c "exec ${BB_GZIP} -9nc '${page}' >'${out}'" VERBATIM)
  list(APPEND packed ${out})
  if(name MATCHES "\\.([158])$")
    install(FILES ${out} DESTINATION share/man/man${CMAKE_MATCH_1})
  else()
    install(FILES ${out} DESTINATION share/doc/buddy-blocks)
  endif()
endforeach()
add_custom_target(packed ALL DEPENDS ${packed})

foreach(program bbctl bbd bbformat bbfsck bbbench bbpowertest)
  install(FILES ${BB_SHARE}/completion/buddy-blocks RENAME ${program}
    DESTINATION share/bash-completion/completions)
endforeach()
install(FILES README.md ${BB_SHARE}/package/copyright DESTINATION share/doc/buddy-blocks)
install(DIRECTORY ${BB_SHARE}/grafana ${BB_SHARE}/prometheus ${BB_SHARE}/seccomp ${BB_SHARE}/systemd
  DESTINATION share/buddy-blocks)
install(FILES ${BB_SHARE}/config/buddy-blocks.sysusers RENAME buddy-blocks.conf
  DESTINATION lib/sysusers.d)

file(GLOB units CONFIGURE_DEPENDS systemd/*.service systemd/*.socket)
install(CODE "
  set(units \"${units}\")
  set(rules \"${CMAKE_CURRENT_SOURCE_DIR}/udev/65-buddy-blocks.rules\")
  set(conf \"${BB_SHARE}/config/buddy-blocks.conf\")
  set(scratch \"${CMAKE_CURRENT_BINARY_DIR}/placed\")
  include(\"${BB_SHARE}/package/place.cmake\")")

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME buddy-blocks)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGE_CONTACT "Buddy Blocks maintainers <maintainers@buddy-blocks.org>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "content-addressed block store on raw devices")
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION
"Stores blocks of up to 1 MiB, named by the SHA-256 of their content, directly
on a partition, and serves them over plain HTTP. A successful PUT or DELETE is
on the medium. There is no filesystem under the data and none under the index,
which can be rebuilt from the data device at any time.
.
This package has the daemon bbd, bbformat and bbfsck for its devices, bbctl to
ask and administer it, and bbbench to load it.")
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION admin)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_DEPENDS "systemd | systemd-standalone-sysusers | passwd")
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "udev")
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "gdisk, prometheus, bash-completion")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA ${BB_SHARE}/package/postinst ${BB_SHARE}/package/prerm
  ${BB_SHARE}/package/postrm ${BB_SHARE}/package/conffiles)
set(CPACK_SET_DESTDIR ON)
set(CPACK_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ
  GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
include(CPack)
