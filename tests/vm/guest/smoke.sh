# SPDX-License-Identifier: Apache-2.0
# On NVMe namespaces: format, load, kill -9, recover, check; then the devices are pulled out under
# load and come back.

# smoke SECTOR
smoke()
{
    data=$(nvme "data$1") index=$(nvme "index$1")
    equal "$(cat "/sys/block/${data##*/}/queue/logical_block_size")" "$1" \
        "NVMe $1: the namespace has sectors of $1 bytes"
    format "$data" "$index"
    check $? "NVMe $1: bbformat"
    bbd_start "$data" "$index"
    bbd_ready
    check $? "NVMe $1: bbd becomes ready"
    oracle load "$LEDGER" 150 --kill "$bbd"
    check $? "NVMe $1: load until kill -9"
    bbd_end 20
    equal "$code" 137 "NVMe $1: bbd was killed"
    bbd_start "$data" "$index"
    bbd_ready && oracle verify "$LEDGER"
    check $? "NVMe $1: nothing acknowledged is lost"
    bbd_stop
    equal "$code" 0 "NVMe $1: bbd stops cleanly"
    fsck "$data" "$index"
    check $? "NVMe $1: bbfsck finds nothing"
}

# pull SERIAL SECTOR: the device disappears from its bus in mid-load
pull()
{
    data=$(nvme "data$2") index=$(nvme "index$2")
    bbd_start "$data" "$index"
    bbd_ready
    check $? "$1 pulled out: bbd becomes ready before"
    gone=$(nvme "$1") said=$(log_size)
    oracle load "$LEDGER" 60 "$(realpath "/sys/block/${gone##*/}/device/device")/remove=1"
    check $? "$1 pulled out: load until bbd ends"
    bbd_end 60
    equal "$code" "$EXIT_IO" "$1 pulled out: bbd exits with its code for I/O errors"
    log_says "$said" "fatal: .*restart"
    check $? "$1 pulled out: a sentence says what failed and what to do"
    echo 1 >/sys/bus/pci/rescan
    data=$(nvme "data$2") index=$(nvme "index$2")
    bbd_start "$data" "$index"
    bbd_ready && oracle verify "$LEDGER"
    check $? "$1 back again: nothing acknowledged is lost"
    bbd_stop
    equal "$code" 0 "$1 back again: bbd stops cleanly"
}

smoke 512
smoke 4096
pull data4096 4096
pull index4096 4096
fsck "$(nvme data4096)" "$(nvme index4096)"
check $? "pulled out and back: bbfsck finds nothing"
