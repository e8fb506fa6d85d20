#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# when: long
# timeout: 2400
# The unit tests as arm64 programs under qemu-user: `sync` and `sim` where the others use io_uring,
# which qemu-user does not have; and once more where memory has pages of 16 KiB.  Everything fetched
# is unpacked below build/arm64, nothing foreign is installed but the cross compiler and the emulator.
set -eu
cd "${BB_ROOT:-$(dirname "$0")/../..}"
. tests/lib/packages.sh

cache=$PWD/build/arm64
root=$cache/root
tree=$cache/tree
triple=aarch64-linux-gnu
libraries="libc6 libc6-dev linux-libc-dev libcrypt-dev libcrypt1 libgcc-s1 liburing2 liburing-dev
    liblmdb0 liblmdb-dev libssl3 libssl-dev libcmocka0 libcmocka-dev libblkid1 libblkid-dev libuuid1
    libjansson4 libjansson-dev libinih1 libinih-dev"

# fetch: the arm64 libraries, with package lists of their own
fetch()
{
    local lists=$cache/lists package
    mkdir -p "$lists/lists/partial" "$cache/deb" "$root.partial"
    local apt=(apt-get -qq -o "Dir::State=$lists" -o "Dir::State::status=$lists/status"
        -o "Dir::Cache::pkgcache=" -o "Dir::Cache::srcpkgcache=" -o APT::Sandbox::User=root
        -o APT::Architecture=arm64 -o APT::Architectures::=arm64)
    : >"$lists/status"
    "${apt[@]}" update
    # shellcheck disable=SC2086
    (cd "$cache/deb" && "${apt[@]}" download $libraries)
    for package in "$cache"/deb/*.deb; do
        dpkg-deb -x "$package" "$root.partial"
    done
    # absolute links would lead out of this root
    find "$root.partial" -type l -lname '/*' | while read -r link; do
        ln -sfr "$root.partial$(readlink "$link")" "$link"
    done
    mv "$root.partial" "$root"
}

bb_packages_install gcc-aarch64-linux-gnu qemu-user cmake ninja-build ||
    { echo "skipped: the cross compiler or qemu-user cannot be installed" && exit 77; }
if [ ! -d "$root" ]; then
    rm -rf "$root.partial" "$cache/deb"
    fetch || { echo "skipped: the arm64 packages cannot be fetched" && exit 77; }
fi

cat >"$cache/toolchain.cmake" <<END
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER $triple-gcc)
set(CMAKE_SYSROOT $root)
set(CMAKE_LIBRARY_ARCHITECTURE $triple)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64 -L $root)
END
# llhttp is C source in a folder of this system; the rest comes from the other root
cmake -G Ninja -S . -B "$tree" --toolchain "$cache/toolchain.cmake" \
    -DBB_LLHTTP_INCLUDE=/usr/share/include/llhttp >"$cache/configure.log"
ninja -C "$tree" >"$cache/build.log" || { tail -n 30 "$cache/build.log"; exit 1; }
file -b "$tree/bbd" | cut -d, -f1-2
passed=0

# run_tests NAME CTEST-OPTION...: fails with the whole report
run_tests()
{
    local log=$cache/$1.log
    shift
    ctest --test-dir "$tree" -L '^unit$' --timeout 900 "$@" >"$log" 2>&1 ||
        { sed -n '/tests passed/,$p' "$log"; exit 1; }
    passed=$((passed + $(sed -n 's/.*tests passed, 0 tests failed out of \([0-9]*\)$/\1/p' "$log")))
}

# Not here: what needs io_uring, and what reads the times of its own process.
run_tests test -E '^(io_uring|io_ring|io_ringlock|io_discard|http_server|tools_cost)$'
# Where memory has pages of 16 KiB, all that asks for memory or maps an index. qemu-user cannot map
# block devices then, which two programs need.
QEMU_PAGESIZE=16384 run_tests pages -R '^(base|io|index|offline)_' \
    -E '^(io_uring|io_ring|io_ringlock|io_discard|index_lmdbindex|index_indexservice|index_lmdbmeta)$'
echo "$passed passed, 0 failed"
