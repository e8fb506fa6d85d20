# SPDX-License-Identifier: Apache-2.0
# What tests left behind.  Sourced by tests/run.
#
# Processes are known by BB_TEST_RUN (this run) and BB_TEST_NAME (the test) in their environment,
# which daemons inherit too; loop devices by a backing file below build/scratch.  Nothing is ever
# ended by the name of a program.

# leftovers_processes VARIABLE VALUE: pids with that in their environment; grep sheds it, so as not to
# find itself
leftovers_processes()
{
    local environment pid
    env -u "$1" grep -lzxF -- "$1=$2" /proc/[0-9]*/environ 2>/dev/null | while read -r environment; do
        pid=${environment#/proc/} pid=${pid%/environ}
        [ "$pid" -eq $$ ] || [ "$pid" -eq "$BASHPID" ] || echo "$pid"
    done
}

# leftovers_loops FOLDER: loop devices whose backing file lies in it
leftovers_loops()
{
    local device backing
    for backing in /sys/block/loop*/loop/backing_file; do
        [ -e "$backing" ] || continue
        device=${backing#/sys/block/} device=/dev/${device%%/*}
        case $(cat "$backing" 2>/dev/null) in
        "$1"/*) echo "$device" ;;
        esac
    done
}

leftovers_attached()
{
    leftovers_loops "$2" | grep -qxF -- "$1"
}

leftovers_name()
{
    [ ! -e "/proc/$1/cmdline" ] || tr '\0' ' ' <"/proc/$1/cmdline"
} 2>/dev/null

# leftovers_clear VARIABLE VALUE FOLDER: ends and detaches what is left and names it; fails if
# there was anything
leftovers_clear()
{
    local pid device found=0 wait
    for pid in $(leftovers_processes "$1" "$2"); do
        wait=0
        while [ -d "/proc/$pid" ] && [ "$wait" -lt 50 ]; do # what ends just now is no leftover
            wait=$((wait + 1))
            sleep 0.1
        done
        [ -n "$(leftovers_name "$pid")" ] || continue
        echo "left running, ended now: $pid $(leftovers_name "$pid")"
        kill -KILL "$pid" 2>/dev/null
        found=1
    done
    for device in $(leftovers_loops "$3"); do
        wait=0 # the kernel detaches when its last user is gone, some of which are its own threads
        while leftovers_attached "$device" "$3" && [ "$wait" -lt 50 ]; do
            wait=$((wait + 1))
            sleep 0.1
        done
        leftovers_attached "$device" "$3" || continue
        echo "left attached, detached now: $device"
        blockdev --setrw "$device" # that it was read-only would stay with its number
        losetup --detach "$device"
        found=1
    done
    return $found
}

leftovers_end()
{
    leftovers_clear BB_TEST_RUN "$BB_TEST_RUN" "$BB_ROOT/build/scratch"
}
