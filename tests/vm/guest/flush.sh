# SPDX-License-Identifier: Apache-2.0
# Flushes of one device fail: the machine's disk reports an error for two of them in a row, once,
# in mid-load.  bbd must end at the first and not try again; the start that meets the second is
# refused; the next one works and nothing acknowledged is lost.  $device is data or index.
data=$(nvme data512) index=$(nvme index512)
failing=$(nvme "${device}512")

# errors: how many flushes or writes of the failing device the kernel has seen fail
errors()
{
    dmesg | grep -c "error, dev ${failing##*/},"
}

format "$data" "$index" --journal 1M # checkpoints, and so commits of the index, come often
check $? "flush of $device: bbformat"
bbd_start "$data" "$index"
bbd_ready
check $? "flush of $device: bbd becomes ready"
equal "$(errors)" 0 "flush of $device: no error so far"
said=$(log_size)
oracle load "$LEDGER" 0
check $? "flush of $device: load until bbd ends"
bbd_end 60
equal "$code" "$EXIT_IO" "flush of $device: bbd exits with its code for I/O errors"
equal "$(errors)" 1 "flush of $device: the flush failed once, it was not tried again"
log_says "$said" "fatal: .*(flush|index).*restart"
check $? "flush of $device: a sentence says what failed and what to do"
bbd_start "$data" "$index"
bbd_ready
equal $? 1 "flush of $device: a start whose flush fails is refused"
bbd_end 60
equal "$code" "$EXIT_IO" "flush of $device: that start ends with the code for I/O errors"
bbd_start "$data" "$index"
bbd_ready && oracle verify "$LEDGER"
check $? "flush of $device: nothing acknowledged is lost"
bbd_stop
equal "$code" 0 "flush of $device: bbd stops cleanly"
fsck "$data" "$index"
check $? "flush of $device: bbfsck finds nothing"
