#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# when: quick
# The unit is understood by systemd, the rules by a reader of their grammar; both are in step with
# each other.  A spoilt unit must be refused, or nothing was checked.
cd "$(dirname "$0")/../.." || exit 1
passed=0 failed=0 skipped=0
check()
{
    if [ "$2" -eq 0 ]; then
        passed=$((passed + 1))
    else
        echo "FAILED: $1"
        failed=$((failed + 1))
    fi
}

# systemd looks for the program itself; any program will do where ours is not installed
verify()
{
    sed "s|^ExecStart=/usr/sbin/bbd|ExecStart=/bin/true|; $1" systemd/bbd.service >"$folder/bbd.service"
    local output
    output=$(SYSTEMD_LOG_LEVEL=warning systemd-analyze verify --man=no --recursive-errors=no \
        "$folder/bbd.service" 2>&1) || return 1
    [ -z "$output" ] || echo "$output"
    ! grep -q 'bbd.service:' <<<"$output"
}

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
if command -v systemd-analyze >/dev/null; then
    verify ''
    check "systemd-analyze verify systemd/bbd.service" $?
    ! verify 's/^LimitMEMLOCK=.*/LimitMEMLOCK=much/' >/dev/null
    check "a limit that is no number is found" $?
else
    echo "skipped: systemd-analyze is not installed"
    skipped=2
fi

rule='^[A-Z]+(\{[.A-Za-z_]+\})?(==|!=|\+=|=|:=)"[^"]*"(, [A-Z]+(\{[.A-Za-z_]+\})?(==|!=|\+=|=|:=)"[^"]*")*$'
! grep -vE '^(#.*)?$' udev/65-buddy-blocks.rules | grep -vE "$rule"
check "udev/65-buddy-blocks.rules is a list of comparisons and assignments" $?
for half in data index; do
    grep -q "^BindsTo=.*dev-buddyblocks-%i-$half.device" systemd/bbd@.service &&
        grep -q 'SYSTEMD_ALIAS}+="$env{BUDDY_BLOCKS_ALIAS}"' udev/65-buddy-blocks.rules &&
        grep -q 'BUDDY_BLOCKS_ALIAS=/dev/buddyblocks/' tools/bbctl/probe.c
    check "bbd@.service is bound to the name that udev gives the $half half" $?
done
grep -q 'SYSTEMD_WANTS}+="bbd@$env{BUDDY_BLOCKS_STORE}.service"' udev/65-buddy-blocks.rules
check "udev starts bbd@.service" $?
user=$(sed -n 's/^User=//p' systemd/bbd.service)
grep -q "^ENV{.BUDDY_BLOCKS_GROUP}=\"$user\"" udev/65-buddy-blocks.rules &&
    ! grep 'GROUP="' udev/65-buddy-blocks.rules | grep -v 'GROUP="$env{.BUDDY_BLOCKS_GROUP}"'
check "the rules give the devices to the group of the unit's user" $?
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
