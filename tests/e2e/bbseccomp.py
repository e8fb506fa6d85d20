# SPDX-License-Identifier: Apache-2.0
"""A seccomp filter on the own process and its children, from here on."""
import ctypes
import os
import platform
import struct
import sys

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
ALLOW, ERRNO = 0x7FFF0000, 0x00050000


def instruction(code, jump_true, jump_false, value):
    return struct.pack("HBBI", code, jump_true, jump_false, value)


def install(verdicts, otherwise):
    """verdicts: (number of a system call, ALLOW or ERRNO | errno); others get `otherwise`."""
    if platform.machine() not in ("x86_64", "aarch64"):
        sys.exit("no seccomp filter for this machine")
    program = instruction(0x20, 0, 0, 0)  # load the number of the system call
    for number, verdict in verdicts:
        program += instruction(0x15, 0, 1, number) + instruction(0x06, 0, 0, verdict)
    program += instruction(0x06, 0, 0, otherwise)
    buffer = ctypes.create_string_buffer(program)
    filters = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(buffer))
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    prctl.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4
    holder = ctypes.create_string_buffer(filters)
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
            or prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.addressof(holder), 0, 0) != 0):
        sys.exit(f"no seccomp filter here: {os.strerror(ctypes.get_errno())}")
