# SPDX-License-Identifier: Apache-2.0
# Debian packages: what is missing, and getting it.  Sourced by tests/run and tools/quickstart.
#
# Services that a package brings are kept from starting by a policy-rc.d of ours, which is removed
# again; one that exists already is left alone.  Nothing is fetched when nothing is missing.

# shellcheck disable=SC2034  # the lists are read by who sources this
BB_PACKAGES_BUILD="build-essential cmake ninja-build liburing-dev liblmdb-dev libssl-dev
    libblkid-dev libjansson-dev libinih-dev node-llhttp libcmocka-dev"
# shellcheck disable=SC2034
BB_PACKAGES_DEMO="curl util-linux procps"
# shellcheck disable=SC2034
BB_PACKAGES_TESTS="systemd lmdb-utils jq wrk nginx-light python3 gdisk e2fsprogs iproute2
    nbdkit nbdkit-plugin-dev libnbd-bin fuse3 udev mandoc python3-prometheus-client
    chromium chromium-driver python3-selenium shellcheck dpkg-dev
    clang clang-format libclang-rt-14-dev"

BB_POLICY=/usr/sbin/policy-rc.d
BB_POLICY_MARK="# Written by Buddy Blocks while it installs packages."

# bb_packages_missing PACKAGE...: those that are not installed, one per line
bb_packages_missing()
{
    local package
    for package in "$@"; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] ||
            echo "$package"
    done
}

# bb_packages_install PACKAGE...: installs those that are missing and says so.  Fails with the
# command to type when it cannot.
bb_packages_install()
{
    local missing
    if ! command -v dpkg-query >/dev/null; then
        echo "packages: this is no Debian, nothing is installed; needed are those of Debian: $*"
        return 0
    fi
    mapfile -t missing < <(bb_packages_missing "$@")
    if [ "${#missing[@]}" -eq 0 ]; then
        echo "packages: all installed, nothing to fetch"
        return 0
    fi
    echo "packages: installing ${missing[*]}"
    if [ "$(id -u)" -ne 0 ]; then
        echo "packages: not root, type: apt-get install --yes ${missing[*]}" >&2
        return 1
    fi
    (
        [ -z "${BB_PACKAGES_LOG:-}" ] || exec >"$BB_PACKAGES_LOG" 2>&1
        trap 'exit 1' INT TERM HUP
        if [ -e "$BB_POLICY" ] && ! grep -qF "$BB_POLICY_MARK" "$BB_POLICY"; then
            echo "packages: $BB_POLICY exists and stays as it is"
        else
            trap 'rm -f "$BB_POLICY"' EXIT
            printf '#!/bin/sh\n%s\nexit 101\n' "$BB_POLICY_MARK" >"$BB_POLICY"
            chmod 755 "$BB_POLICY"
        fi
        export DEBIAN_FRONTEND=noninteractive
        patient=(-o Acquire::Retries=5 -o DPkg::Lock::Timeout=300) # another may hold the lock
        apt-get update -qq "${patient[@]}" &&
            apt-get install -qq --yes --no-install-recommends "${patient[@]}" "${missing[@]}"
    ) </dev/null || true # what counts is what is installed now
    mapfile -t missing < <(bb_packages_missing "$@")
    if [ "${#missing[@]}" -gt 0 ]; then
        [ -z "${BB_PACKAGES_LOG:-}" ] || tail -n 20 "$BB_PACKAGES_LOG" >&2
        echo "packages: could not install ${missing[*]}" >&2
        return 1
    fi
}
