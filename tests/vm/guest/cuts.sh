# SPDX-License-Identifier: Apache-2.0
# Power cuts under load: both devices lose what is only in their volatile caches, in the same
# moment.  $cuts times, half of them with sectors of 512 bytes, half with 4096.
#
# A cut comes in the middle of load or of a start; at some of them bbd dies with the devices, at
# others it must notice and end by itself.  First the canary: a device that lies about its cache
# loses acknowledged blocks, and the oracle has to see that.

FSCK_EVERY=5

# pair_make SECTOR
pair_make()
{
    null_make data 192 "$1"
    null_make index 32 "$1"
}

# pair_on: both with power; caches and speeds differ from time to time, and the small cache also
# writes back by itself when it is full
pair_on()
{
    null_on data $((RANDOM % 3 == 0 ? 1 : 16)) $((10000 + RANDOM % 4 * 300000))
    data=$node
    null_on index $((RANDOM % 3 == 0 ? 1 : 16)) $((10000 + RANDOM % 4 * 300000))
    index=$node
}

pair_end()
{
    null_set data power 0
    null_set index power 0
    rmdir /config/nullb/data /config/nullb/index
}

canary()
{
    pair_make 512
    pair_on
    format "$data" "$index"
    bbd_start "$data" "$index"
    bbd_ready
    check $? "canary: bbd becomes ready"
    echo "write through" >"/sys/block/${data##*/}/queue/write_cache" # from now on no flush arrives
    oracle load "$LEDGER" 60 --kill "$bbd" "$(null_power data)=0" "$(null_power index)=0"
    bbd_end 60
    pair_on
    bbd_start "$data" "$index"
    if bbd_ready; then
        oracle verify "$LEDGER" >/run/verify
        equal $? 1 "canary: what a lying device lost is found"
        tail -n 1 /run/verify
    else
        bad "canary: bbd does not start after the cut, the oracle could not look"
    fi
    bbd_stop
    pair_end
}

# cut_in_start: somewhere between the first open and readiness
cut_in_start()
{
    sleep "0.$((RANDOM % 9))$((RANDOM % 10))"
    if [ "$dies" = yes ] && [ -d "/proc/$bbd" ]; then
        set -- --kill "$bbd"
    fi
    oracle fire "$@" "$(null_power data)=0" "$(null_power index)=0"
    kind=start
    oracle load "$LEDGER" 0 >/run/load # one that is ready and idle notices when it has to write
    status=$?
    [ "$status" -eq 0 ] || bad "cut $number in start: load (status $status)"
}

# cut_in_load: after a random number of acknowledged operations
cut_in_load()
{
    if ! bbd_ready; then
        bad "cut $number: bbd does not start"
        broken=yes
        return
    fi
    if ! oracle verify "$LEDGER" >/run/verify; then
        losses=$((losses + 1))
        bad "cut $number: acknowledged operations are lost"
        sed 's/^/  /' /run/verify
    fi
    [ "$dies" = no ] || set -- --kill "$bbd"
    oracle load "$LEDGER" $((10 + RANDOM % 190)) "$@" "$(null_power data)=0" \
        "$(null_power index)=0" >/run/load
    status=$?
    if [ "$status" -ne 0 ]; then
        bad "cut $number: load (status $status)"
        sed 's/^/  /' /run/load
    fi
    kind=load
}

# cut: one of them, from the start of bbd until the power is back
cut()
{
    dies=yes kind=none
    : >/run/load
    : >/run/verify
    [ $((RANDOM % 3)) -ne 0 ] || dies=no
    bbd_start "$data" "$index"
    if [ $((RANDOM % 5)) -eq 0 ]; then
        cut_in_start
    else
        cut_in_load
    fi
    bbd_end 60
    if [ "$code" != "$EXIT_IO" ] && [ "$dies $code" != "yes 137" ]; then
        bad "cut $number in $kind: bbd ends with $code (killed: $dies)"
    fi
    pair_on
    if [ $((number % FSCK_EVERY)) -eq 0 ] && ! fsck "$data" "$index"; then
        bad "cut $number: bbfsck finds something"
    fi
    echo "cut $number in $kind, bbd ends with $code; $(cat /run/verify /run/load | tr '\n' ';')"
}

# series SECTOR COUNT [OPTION]...: of cuts on a new store
series()
{
    sector=$1 count=$2 losses=0 number=0 broken=no
    shift 2
    pair_make "$sector"
    pair_on
    format "$data" "$index" "$@"
    check $? "cuts $sector: bbformat"
    while [ "$number" -lt "$count" ] && [ "$broken" = no ]; do
        number=$((number + 1))
        cut
    done
    bbd_start "$data" "$index"
    bbd_ready && oracle verify "$LEDGER"
    status=$?
    check "$status" "cuts $sector: after the last one nothing acknowledged is lost"
    [ "$status" -eq 0 ] || losses=$((losses + 1))
    bbd_stop
    equal "$code" 0 "cuts $sector: bbd stops cleanly"
    fsck "$data" "$index"
    check $? "cuts $sector: bbfsck finds nothing"
    equal "$number $losses" "$count 0" "cuts $sector: $number power cuts, $losses losses"
    pair_end
}

canary
series 512 $((cuts / 2))
series 4096 $((cuts - cuts / 2)) --journal 1M --zone 4M # its ring wraps, its zones open under load
