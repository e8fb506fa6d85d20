# SPDX-License-Identifier: Apache-2.0
# A Debian with systemd and udev, as somebody sets up a server: the package, two disks with our
# partition types, the store, and from then on udev starts bbd.  Three times the machine boots ($boot):
# the first ends in a power cut under load, the second with a reboot.

. /vm/newcomer.sh

ETC=/etc/buddy-blocks
URL=http://127.0.0.1:10001
ACKED=/var/lib/acked # hashes that were acknowledged, on the disk before the next one is put
BY=/dev/disk/by-buddyblocks
TRIES=600 # of waiting, ten for a second or less
LOG=/run/words

# bad: as in lib.sh, with the last words from where this system keeps them
bad()
{
    echo "FAILED: $*"
    systemctl status --no-pager --lines=0 "${unit:-bbd}" 2>&1 | cut -c1-180 | sed 's/^/    /'
    journalctl --no-pager --output=cat --lines=8 -u "${unit:-bbd}" 2>&1 | cut -c1-180 | sed 's/^/    /'
    tail -n 12 "$LOG" 2>/dev/null | sed 's/^/    /'
    dmesg | tail -n 5 | sed 's/^/    /'
}

# until_true COMMAND...: waits for it
until_true()
{
    tries=0
    until "$@" >/dev/null 2>&1; do
        tries=$((tries + 1))
        [ "$tries" -lt "$TRIES" ] || return 1
        sleep 0.1
    done
}

# says TEXT COMMAND...: a result by a command that has to succeed; its words go to the log
says()
{
    text=$1
    shift
    "$@" >"$LOG" 2>&1
    check $? "$text"
}

# ---- the service ----

api()
{
    curl -sS --max-time 20 -H "Authorization: Bearer $(cat $ETC/admin.token)" "$@"
}

# state PROPERTY: of the unit
state()
{
    systemctl show --property="$1" --value "$unit"
}

is_ready()
{
    [ "$(state ActiveState)" = active ] && api -f "$URL/readyz"
}

is_down()
{
    case $(state ActiveState) in inactive | failed) ;; *) return 1 ;; esac
}

# put: a block of random bytes and size; its hash is on standard output when it is acknowledged
put()
{
    head -c "$(od -An -N2 -tu2 /dev/urandom | tr -d ' ')" /dev/urandom >/run/block
    api -f -X PUT --data-binary @/run/block "$URL/block"
}

# put_some COUNT: and note what is acknowledged; ends early with the daemon
put_some()
{
    left=$1
    while [ "$left" -gt 0 ] && hash=$(put) && [ "${#hash}" -eq 64 ]; do
        echo "$hash" >>$ACKED
        sync $ACKED
        left=$((left - 1))
    done
    [ "$left" -eq 0 ]
}

# acked COUNT: so many are
acked()
{
    [ "$(wc -l <$ACKED)" -ge "$1" ]
}

# all_there: every acknowledged block, by its content
all_there()
{
    lost=0
    while read -r hash; do
        found=$(api -f "$URL/block/$hash" | sha256sum)
        [ "${found%% *}" = "$hash" ] || lost=$((lost + 1))
    done <$ACKED
    echo "$(wc -l <$ACKED) acknowledged, $lost lost"
    [ "$lost" -eq 0 ]
}

# uuid_find: of the store, into $uuid, and the unit that udev starts for it into $unit
uuid_find()
{
    uuid=$(bbctl probe --udev "$(nvme data512)p1" | sed -n 's/^BUDDY_BLOCKS_STORE=//p')
    unit=bbd@$uuid.service
}

# ---- first boot ----

# install: in two steps, so that udev reads the rules before there is the group that they name
install()
{
    says "system: the package is unpacked" dpkg --unpack /vm/*.deb
    sleep 4 # udev looks for new rules every 3 s
    udevadm trigger --settle --subsystem-match=block
    says "system: the package is configured" dpkg --configure buddy-blocks
    equal "$(getent passwd buddy-blocks | cut -d: -f7)" /usr/sbin/nologin "system: it brings its user"
    equal "$(stat --format='%U %a' $ETC/tokens $ETC/admin.token | tr '\n' ' ')" \
        "buddy-blocks 600 root 600 " "system: and a token, readable for root"
}

# partition ROLE: the whole disk, of the type that bbformat --help names
partition()
{
    type=$(bbformat --help | sed -n "s/.*\\<$1 \\([0-9a-f-]\\{36\\}\\)\$/\\1/p")
    says "system: sgdisk makes a partition for the $1" sgdisk --new=1:0:0 --typecode="1:$type" \
        --change-name="1:bb-$1" "$(nvme "${1}512")"
}

layout()
{
    partition data
    partition index
    data=/dev/disk/by-partlabel/bb-data index=/dev/disk/by-partlabel/bb-index
    until_true test -b $data -a -b $index
    udevadm settle
    equal "$(stat -L --format='%G %a' $data $index | tr '\n' ' ')" \
        "buddy-blocks 660 buddy-blocks 660 " "system: both belong to the daemon's group"
    says "system: bbformat --dry-run finds nothing against them" bbformat --dry-run $data $index
    says "system: bbformat lays out the store" bbformat --label shelf $data $index
    uuid_find
    until_true test -b "$BY/$uuid-data" -a -b "$BY/$uuid-index"
    check $? "system: udev sees the new store by itself and links both halves"
    udevadm settle
    equal "$(lsblk --noheadings --raw --output FSTYPE,LABEL,UUID "$(nvme data512)p1")" \
        "buddyblocks shelf $uuid" "system: lsblk shows it"
    equal "$(systemctl is-active "$unit")" inactive "system: nothing starts what is not configured"
}

# by_hand: the one store under [store]
by_hand()
{
    unit=bbd.service
    sed -i "s|^#data = .*|data = $data|; s|^#index = .*|index = $index|" $ETC/buddy-blocks.conf
    says "system: the settings are accepted" bbd --check-config
    says "system: systemctl start bbd" systemctl start bbd
    until_true is_ready
    check $? "system: bbd runs as a service"
    says "system: a block is put with curl" put_some 1
    says "system: it can be fetched" all_there
    equal "$(curl -s -o /dev/null -w '%{http_code}' "$URL/block/$(cat $ACKED)")" 401 \
        "system: not without a token"
    says "system: bbctl asks it by its socket" bbctl status
    says "system: systemctl reload bbd" systemctl reload bbd
    says "system: systemctl stop bbd" systemctl stop bbd
    equal "$(state Result) $(state ExecMainStatus)" "success 0" "system: it stops cleanly"
    sed -i '/^data = /d; /^index = /d' $ETC/buddy-blocks.conf
}

# by_udev: the store in a section of its own
by_udev()
{
    uuid_find
    printf '\n[store %s]\n' "$uuid" >>$ETC/buddy-blocks.conf
    udevadm trigger --settle --subsystem-match=block
    until_true is_ready
    check $? "system: named in the configuration, udev starts $unit"
    says "system: the block is there" all_there
    is_locked_down
}

is_locked_down()
{
    systemd-analyze security --no-pager "$unit" >"$LOG" 2>&1
    exposure=$(sed -n 's/.*exposure level.*: \([0-9]*\)\.\([0-9]\).*/\1\2/p' "$LOG")
    [ "${exposure:-99}" -le 15 ]
    check $? "system: systemd-analyze security: $(tail -n 1 "$LOG" | tr -cd ' -~')"
    grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' "/proc/$(state MainPID)/status" | tr -d '\t\n' >/run/held
    equal "$(cat /run/held)" "CapEff:0000000000000000CapBnd:0000000000000000NoNewPrivs:1Seccomp:2" \
        "system: the daemon holds no capability and is filtered"
}

# watchdog: the daemon stands still; systemd notices, ends it and starts it again
watchdog()
{
    pid=$(state MainPID)
    kill -STOP "$pid"
    until_true test ! -d "/proc/$pid"
    check $? "system: systemd ends a daemon that stands still"
    until_true is_ready
    equal "$? $(state NRestarts)" "0 1" "system: and starts it again"
    journalctl --no-pager -u "$unit" | grep -q "Watchdog timeout"
    check $? "system: the journal says why"
    says "system: the block is still there" all_there
}

# ---- disks that come and go ----

# pull ROLE: the disk disappears from its bus
pull()
{
    disk=$(nvme "${1}512")
    echo 1 >"$(realpath "/sys/block/${disk##*/}/device/device")/remove"
}

# pulled ROLE HOW: under load or idle; the service ends, says why, and is not started over and over
pulled()
{
    load=
    if [ "$2" = load ]; then
        put_some 100000 >/run/load 2>&1 &
        load=$!
        sleep 3
    fi
    restarts=$(state NRestarts) since=$(date '+%F %T')
    pull "$1"
    until_true is_down
    check $? "system: $1 pulled out in $2: the service is down"
    [ -z "$load" ] || wait "$load"
    sleep 6 # three times RestartSec
    is_down
    equal "$? $(state MainPID) $(($(state NRestarts) - restarts))" "0 0 0" \
        "system: $1 pulled out: it stays down ($(state ActiveState), $(state Result))"
    journalctl --no-pager --output=cat --since="$since" -u "$unit" >"$LOG"
    grep -qE "$3" "$LOG"
    check $? "system: $1 pulled out: the journal says why"
    tail -n 8 "$LOG"
    [ ! -e "$BY/$uuid-$1" ]
    check $? "system: $1 pulled out: its link is gone"
    echo 1 >/sys/bus/pci/rescan
    until_true is_ready
    check $? "system: $1 plugged in: udev starts the service again"
    says "system: $1 plugged in: nothing acknowledged is lost" all_there
}

# ---- the boots ----

boot_1()
{
    install
    newcomer
    layout
    by_hand
    by_udev
    watchdog
    (put_some 100000 >/run/load 2>&1) &
    until_true acked 20
    echo cut
    sleep 100
}

boot_2()
{
    uuid_find
    until_true is_ready
    check $? "system: after the power cut udev has started $unit"
    says "system: after the power cut nothing acknowledged is lost" all_there
    tail -n 1 "$LOG"
    says "system: blocks are put" put_some 3
    echo reboot
    systemctl reboot
    sleep 100
}

boot_3()
{
    uuid_find
    until_true is_ready
    check $? "system: after a reboot udev has started $unit"
    journalctl --no-pager -b -1 -u "$unit" >"$LOG"
    says "system: after a reboot nothing acknowledged is lost" all_there
    pulled data load "fatal: .*restart"
    pulled index idle "Stopp"
    says "system: systemctl stop" systemctl stop "$unit"
    says "system: bbfsck finds nothing" bbfsck "$BY/$uuid-data" "$BY/$uuid-index"
    says "system: no unit has failed" test -z "$(systemctl --failed --quiet --no-legend)"
    echo end
    systemctl poweroff --force
    sleep 100
}

"boot_$boot"
