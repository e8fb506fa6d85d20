# SPDX-License-Identifier: Apache-2.0
# bbpowertest on a disk with a volatile cache: an honest one loses nothing that was acknowledged, one
# that is never told to flush does, and the tester must say so both times.

CUTS=6

# power_cut SECONDS: a run that its disk's power ends; the report is /run/report
power_cut()
{
    rm -f /run/report
    bbpowertest write --force --whole-disk --size 16M --report /run/report "$disk" 2>/run/powertest &
    tester=$!
    sleep "$1"
    null_set disk power 0
    wait "$tester"
    equal $? "$EXIT_IO" "power: the run ends with its disk"
    null_on disk 8 100000
    disk=$node
}

# fresh_disk: null_blk writes over what has reached its medium straight through, its cache only
# holds pages that are new
fresh_disk()
{
    if [ -d /config/nullb/disk ]; then
        null_set disk power 0
        rmdir /config/nullb/disk
    fi
    null_make disk 64 512
    null_on disk 8 100000
    disk=$node
}

cut=0
while [ "$cut" -lt "$CUTS" ]; do
    fresh_disk
    power_cut "1.$((RANDOM % 10))"
    bbpowertest check "$disk" /run/report >/run/check
    check $? "power: an honest disk keeps what it acknowledged ($(head -n 1 /run/check))"
    cut=$((cut + 1))
done
fresh_disk
echo "write through" >"/sys/block/${disk##*/}/queue/write_cache" # from now on no flush arrives
power_cut 1.5
bbpowertest check "$disk" /run/report >/run/check
equal $? 1 "power: what a lying disk lost is found"
grep LOST /run/check
null_set disk power 0
rmdir /config/nullb/disk
