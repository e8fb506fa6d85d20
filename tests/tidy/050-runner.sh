#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# when: quick
# tests/run itself, in a small checkout: what fails, is skipped, leaves something behind or is not
# found must be counted as that.
# shellcheck disable=SC2016  # the scripts below expand what is in them themselves
root=$(cd "$(dirname "$0")/../.." && pwd)
folder=$(mktemp -d)
passed=0 failed=0

end()
{
    local pid
    pid=$(cat "$folder/left-pid" 2>/dev/null) && kill "$pid" 2>/dev/null
    # by what stands behind it: the name alone may be somebody else's device by now
    losetup --list --noheadings --output NAME,BACK-FILE | grep -F "$folder/" |
        while read -r device _; do losetup --detach "$device"; done
    rm -rf "$folder"
}
trap end EXIT

check()
{
    if [ "$2" -eq 0 ]; then
        passed=$((passed + 1))
    else
        echo "FAILED: $1"
        sed 's/^/        /' "$folder/output"
        failed=$((failed + 1))
    fi
}

# script NAME: an executable test from stdin
script()
{
    mkdir -p "$folder/$(dirname "$1")"
    cat >"$folder/$1"
    chmod +x "$folder/$1"
}

# run ARGUMENT...: tests/run there; status in status, last line in last
run()
{
    env -u BB_TEST_RUN -u BB_TEST_NAME -u CI "${with[@]}" "$folder/tests/run" --no-install "$@" \
        >"$folder/output" 2>&1
    status=$?
    last=$(tail -n 1 "$folder/output")
}

# ends_with STATUS LINE
ends_with()
{
    [ "$status" -eq "$1" ] && [ "$last" = "$2" ]
}

mkdir -p "$folder/tests"
cp -r "$root/tests/run" "$root/tests/lib" "$folder/tests/"
with=(A=1)

run --only tidy
ends_with 1 "0 passed, 1 failed, 0 skipped" && grep -q 'no test was found' "$folder/output"
check "a group without any test fails" $?

script tests/tidy/001-passes.sh <<<'#!/bin/sh'
script tests/tidy/002-counts/run <<<'#!/bin/sh
echo "BB_PORT=$BB_PORT in $BB_TMP" && echo "3 passed, 0 failed"'
script tests/tidy/lib.sh <<<'#!/bin/sh
exit 1'
script tests/tidy/010-long.sh <<<'#!/bin/sh
# when: long
exit 1'
mv "$folder/tests/tidy/002-counts" "$folder/tests/tidy/counts"
run --only tidy
ends_with 0 "4 passed, 0 failed, 0 skipped"
check "what passes is counted" $?
[ "$(ls "$folder/build/scratch" 2>/dev/null)" = "" ]
check "nothing is kept of what passed" $?
run --quick --only tidy
ends_with 0 "0 passed, 0 failed, 0 skipped" || ends_with 1 "0 passed, 1 failed, 0 skipped"
check "--quick leaves out what does not say quick" $?

script tests/tidy/003-skips.sh <<<'#!/bin/sh
echo "skipped: there is no moon"
exit 77'
run --only tidy
ends_with 0 "4 passed, 0 failed, 1 skipped"
check "a skipped test is counted as skipped" $?
with=(CI=true)
run --only tidy
ends_with 1 "4 passed, 1 failed, 0 skipped"
check "with CI=true what is skipped has failed" $?
with=(A=1)

script tests/tidy/003-skips.sh <<<'#!/bin/sh
i=0; while [ $i -lt 60 ]; do echo "line $i"; i=$((i + 1)); done
touch "$BB_TMP/evidence"
exit 3'
run --only tidy
ends_with 1 "4 passed, 1 failed, 0 skipped" && grep -q 'line 59' "$folder/output" &&
    ! grep -q 'line 19$' "$folder/output" && grep -q 003-skips.sh.log "$folder/output"
check "of a failed test the last 40 lines are shown and the path of its log" $?
[ -e "$folder/build/scratch/tidy-003-skips.sh/evidence" ]
check "what a failed test wrote is kept" $?

script tests/tidy/003-skips.sh <<<'#!/bin/sh
echo "2 passed, 0 failed"; exit 1'
run --only tidy
ends_with 1 "6 passed, 1 failed, 0 skipped"
check "a bad end is a failure whatever was counted" $?

script tests/tidy/003-skips.sh <<<'#!/bin/sh
# timeout: 1
sleep 60'
run --only tidy
ends_with 1 "4 passed, 1 failed, 0 skipped"
check "a test that does not end is ended and fails" $?

script tests/tidy/003-skips.sh <<<"#!/bin/sh
setsid sleep 300 >/dev/null 2>&1 & echo \$! >'$folder/left-pid'"
run --only tidy
ends_with 1 "4 passed, 1 failed, 0 skipped" && grep -q 'left running.*sleep 300' "$folder/output"
check "a process that is left running makes its test fail" $?
[ -z "$(tr '\0' ' ' 2>/dev/null <"/proc/$(cat "$folder/left-pid")/cmdline")" ] # gone, or a zombie
check "it is ended" $?

if [ "$(id -u)" -eq 0 ] && [ -e /dev/loop-control ]; then
    script tests/tidy/003-skips.sh <<<"#!/bin/sh
truncate -s 1M \"\$BB_TMP/disk\" && losetup --find --show \"\$BB_TMP/disk\" >'$folder/left-loop'"
    run --only tidy
    ends_with 1 "4 passed, 1 failed, 0 skipped" && grep -q 'left attached' "$folder/output"
    check "a loop device that is left attached makes its test fail" $?
    ! losetup --list --noheadings --output BACK-FILE | grep -qF "$folder"
    check "it is detached" $?
fi
rm -rf "$folder/tests/tidy"

cat >"$folder/CMakeLists.txt" <<'END'
cmake_minimum_required(VERSION 3.25)
project(sample LANGUAGES NONE)
enable_testing()
foreach(name good bad killed)
  add_test(NAME ${name} COMMAND sh ${CMAKE_SOURCE_DIR}/${name})
  set_tests_properties(${name} PROPERTIES LABELS unit)
endforeach()
END
cat >"$folder/good" <<'END'
echo '[==========] Running 3 test(s).'
echo '[  PASSED  ] 2 test(s).'
echo '[  SKIPPED ] 1 test(s), listed below:'
END
cat >"$folder/bad" <<'END'
echo '[==========] Running 5 test(s).'
echo '[  PASSED  ] 3 test(s).'
echo '[  FAILED  ] 2 test(s), listed below:'
exit 2
END
cat >"$folder/killed" <<'END'
echo '[==========] Running 5 test(s).'
echo '[ RUN      ] one'
echo '[       OK ] one'
kill -ABRT $$
END
run --only unit
ends_with 1 "7 passed, 3 failed, 1 skipped"
check "tests of cmocka are counted one by one, one killed as one failure" $?
cp "$folder/good" "$folder/bad" && cp "$folder/good" "$folder/killed"
run --only unit
ends_with 0 "7 passed, 0 failed, 3 skipped"
check "without failures it succeeds" $?
script tests/vm/run <<<'#!/bin/sh
exit 77'
with=(CI=true)
run --vm
ends_with 0 "1 passed, 0 failed, 1 skipped"
check "with CI=true only what needs the virtual machine is skipped" $?
with=(A=1)
sed -i 's/COMMAND sh/COMMAND bash -c false/' "$folder/CMakeLists.txt"
run --only unit
ends_with 1 "1 passed, 3 failed, 0 skipped"
check "a program that says nothing and fails has failed" $?
echo 'message(FATAL_ERROR "broken")' >>"$folder/CMakeLists.txt"
run --only unit
ends_with 1 "0 passed, 1 failed, 0 skipped"
check "after a failed build nothing is tested" $?
run --only nonsense
[ "$status" -eq 2 ]
check "an unknown group is refused" $?

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
