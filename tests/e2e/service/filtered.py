# SPDX-License-Identifier: Apache-2.0
"""Runs a program under a list of allowed system calls, as systemd or a container runtime would.

    filtered.py profile FILE PROGRAM [ARGUMENT]...    a container profile (JSON)
    filtered.py unit FILE PROGRAM [ARGUMENT]...       SystemCallFilter= of a unit
"""
import json
import os
import re
import subprocess
import sys
from errno import ENOSYS, EPERM

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from bbseccomp import ALLOW, ERRNO, install  # noqa: E402


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


def apply(allowed, missing):
    known = numbers()
    install([(known[name], verdict)
             for names, verdict in ((missing, ERRNO | ENOSYS), (allowed - missing, ALLOW))
             for name in sorted(names & set(known))], ERRNO | EPERM)


if __name__ == "__main__":
    apply(*(allowed_by_unit if sys.argv[1] == "unit" else allowed_by_profile)(sys.argv[2]))
    os.execv(sys.argv[3], sys.argv[3:])
