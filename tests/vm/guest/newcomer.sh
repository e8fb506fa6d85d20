# SPDX-License-Identifier: Apache-2.0
# The README's "A real partition, step by step", as it is installed, typed line by line on a disk of
# its own.  Only the disk and the size of the index are others, and the package is there already.

README=/usr/share/doc/buddy-blocks/README.md

# steps: the commands of that section
steps()
{
    awk '/^## / { section = /A real partition/ } /^```/ { code = $0 == "```sh"; next } section && code' \
        $README | sed "s|/dev/nvme0n1|$shelf|g; s|+2G|+32M|"
}

# step COMMAND: as a shell would
step()
{
    case $1 in
    "cmake --install"*) return ;;
    "bbd "*)
        ${1} >/run/newcomer 2>&1 & # with all its words
        newcomer=$!
        until_true curl -fsS http://localhost:10001/readyz
        check $? "README: $1"
        return
        ;;
    bbfsck*)
        if [ -n "$newcomer" ]; then
            kill -TERM "$newcomer"
            wait "$newcomer"
            equal $? 0 "README: bbd ends by SIGTERM"
            newcomer=
        fi
        ;;
    esac
    expected=0
    case $1 in *--rebuild*) expected=1 ;; esac
    sh -c "$1" >"$LOG" 2>&1
    equal $? $expected "README: $1"
    udevadm settle
}

# newcomer: all of it; the disk is empty again afterwards
newcomer()
{
    shelf=$(nvme shelf) newcomer=
    cd "${README%/*}" || return
    steps >/run/steps
    while read -r line; do
        step "$line" </dev/null
    done </run/steps
    [ "$(wc -l </run/steps)" -ge 10 ]
    check $? "README: $(wc -l </run/steps) steps"
    cd /
    sgdisk --zap-all "$shelf" >/dev/null
    udevadm settle
}
