# SPDX-License-Identifier: Apache-2.0
"""Runs a program under a list of allowed system calls, as systemd or a container runtime would.

    filtered.py profile FILE PROGRAM [ARGUMENT]...    a container profile (JSON)
    filtered.py unit FILE PROGRAM [ARGUMENT]...       SystemCallFilter= of a unit
"""
import ctypes
import json
import os
import platform
import re
import struct
import subprocess
import sys

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
ALLOW, ERRNO, EPERM, ENOSYS = 0x7FFF0000, 0x00050000, 1, 38


def numbers():
    """Name to number of this machine's system calls."""
    source = "#include <sys/syscall.h>\n"
    macros = subprocess.run(["cc", "-E", "-dM", "-"], input=source, capture_output=True, text=True,
                            check=True).stdout
    return {name: int(number)
            for name, number in re.findall(r"#define __NR_(\w+) (\d+)$", macros, re.M)}


def groups():
    """systemd's groups of system calls."""
    found, name = {}, None
    listing = subprocess.run(["systemd-analyze", "syscall-filter"], capture_output=True, text=True,
                             check=True).stdout
    for line in listing.splitlines():
        if line.startswith("@"):
            name = line.strip()
            found[name] = []
        elif line.startswith("#"):
            name = None
        elif name and line.strip() and not line.strip().startswith("#"):
            found[name].append(line.strip())
    return found


def expand(words, known):
    calls = set()
    for word in words:
        calls |= expand(known[word], known) if word.startswith("@") else {word}
    return calls


def allowed_by_unit(path):
    """The calls that the SystemCallFilter= lines leave, in their order; execve is systemd's own."""
    known = groups()
    allowed = expand(["@default"], known) | {"execve"}
    with open(path, encoding="utf-8") as file:
        for value in re.findall(r"^SystemCallFilter=(.*)$", file.read(), re.M):
            if value.startswith("~"):
                allowed -= expand(value[1:].split(), known)
            else:
                allowed |= expand(value.split(), known)
    return allowed, set()


def allowed_by_profile(path):
    """The calls a profile allows, and those it declares missing; conditions are not looked at."""
    with open(path, encoding="utf-8") as file:
        profile = json.load(file)
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO", profile["defaultAction"]
    allowed, missing = set(), set()
    for rule in profile["syscalls"]:
        if rule["action"] == "SCMP_ACT_ALLOW":
            allowed |= set(rule["names"])
        elif rule.get("errnoRet") == ENOSYS:
            missing |= set(rule["names"])
    return allowed, missing


def instruction(code, jump_true, jump_false, value):
    return struct.pack("HBBI", code, jump_true, jump_false, value)


def apply(allowed, missing):
    known = numbers()
    program = instruction(0x20, 0, 0, 0)  # load the number of the system call
    for names, verdict in ((missing, ERRNO | ENOSYS), (allowed - missing, ALLOW)):
        for name in sorted(names & set(known)):
            program += instruction(0x15, 0, 1, known[name]) + instruction(0x06, 0, 0, verdict)
    program += instruction(0x06, 0, 0, ERRNO | EPERM)
    buffer = ctypes.create_string_buffer(program)
    filters = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(buffer))
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    prctl.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4
    holder = ctypes.create_string_buffer(filters)
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
            or prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.addressof(holder), 0, 0) != 0):
        sys.exit(f"no seccomp filter here: {os.strerror(ctypes.get_errno())}")


if __name__ == "__main__":
    if platform.machine() not in ("x86_64", "aarch64"):
        sys.exit("no seccomp filter for this machine")
    apply(*(allowed_by_unit if sys.argv[1] == "unit" else allowed_by_profile)(sys.argv[2]))
    os.execv(sys.argv[3], sys.argv[3:])
