# SPDX-License-Identifier: Apache-2.0
# What the scenarios share: results, the store's programs, devices.  For busybox's shell.

LEDGER=/run/ledger
LOG=/run/bbd.log
EXIT_IO=13 # bb/err.h
RANDOM=$((${seed:-1} % 32768))

# ---- results ----

ok()
{
    echo "ok: $*"
}

bad()
{
    echo "FAILED: $*"
    echo "  the last words of bbd:"
    tail -n 12 "$LOG" | sed 's/^/    /'
    echo "  the last words of the kernel:"
    dmesg | tail -n 8 | sed 's/^/    /'
}

# check STATUS TEXT: a result by the status of a command
check()
{
    if [ "$1" -eq 0 ]; then
        ok "$2"
    else
        bad "$2 (status $1)"
    fi
}

# equal FOUND EXPECTED TEXT
equal()
{
    if [ "$1" = "$2" ]; then
        ok "$3"
    else
        bad "$3: $1, expected $2"
    fi
}

# ---- the store ----

# format DATA INDEX [OPTION]...: an empty store and an empty ledger
format()
{
    bbformat --force --whole-disk "$@" >/run/bbformat.log 2>&1
    status=$?
    [ "$status" -eq 0 ] || sed 's/^/  /' /run/bbformat.log
    oracle make "$LEDGER" "$((RANDOM * 32768 + RANDOM))"
    return "$status"
}

# bbd_start DATA INDEX: in the background; its pid is $bbd
bbd_start()
{
    bbd --data "$1" --index "$2" --listen 127.0.0.1:10001 >>"$LOG" 2>&1 &
    bbd=$!
}

bbd_ready()
{
    oracle ready "$bbd" 120
}

# bbd_end SECONDS: waits for its end, else kills it; the exit code is $code
bbd_end()
{
    if ! oracle gone "$bbd" "$1"; then
        kill -KILL "$bbd"
        wait "$bbd"
        code=hang
        return
    fi
    wait "$bbd"
    code=$?
}

bbd_stop()
{
    kill -TERM "$bbd"
    bbd_end 60
}

# words OFFSET: what bbd logged from this byte on
log_size()
{
    wc -c <"$LOG"
}

# log_says OFFSET PATTERN: whether a line after that byte of the log matches
log_says()
{
    tail -c "+$(($1 + 1))" "$LOG" | grep -qE "$2"
}

# fsck DATA INDEX: status of bbfsck, its words when it finds anything
fsck()
{
    bbfsck "$1" "$2" >/run/bbfsck.log 2>&1
    status=$?
    [ "$status" -eq 0 ] || sed 's/^/  /' /run/bbfsck.log
    return "$status"
}

# ---- devices ----

# nvme SERIAL: device node of the namespace behind the controller with this serial number
nvme()
{
    tries=0
    while [ "$tries" -lt 100 ]; do
        for controller in /sys/class/nvme/nvme*; do
            if [ "$(sed 's/ *$//' "$controller/serial" 2>/dev/null)" = "$1" ]; then
                node=/dev/${controller##*/}n1
                [ ! -b "$node" ] || break 2
            fi
        done
        node=none tries=$((tries + 1))
        sleep 0.1
    done
    echo "$node"
}

# null_make NAME MIB SECTOR: a disk in memory, without power
null_make()
{
    mkdir "/config/nullb/$1"
    null_set "$1" size "$2"
    null_set "$1" blocksize "$3"
    null_set "$1" memory_backed 1
    null_set "$1" submit_queues 1
    null_set "$1" irqmode 2
}

# null_set NAME ATTRIBUTE VALUE: only without power
null_set()
{
    echo "$3" >"/config/nullb/$1/$2"
}

# null_on NAME CACHE_MIB NANOSECONDS: power with a volatile cache of this size and requests that
# take this long; the node is $node
null_on()
{
    null_set "$1" cache_size "$2"
    null_set "$1" completion_nsec "$3"
    null_set "$1" power 1
    node=$(null_node "$1")
}

null_node()
{
    if [ -b "/dev/$1" ]; then
        echo "/dev/$1"
    else
        echo "/dev/nullb$(cat "/config/nullb/$1/index")"
    fi
}

null_power()
{
    echo "/config/nullb/$1/power"
}
