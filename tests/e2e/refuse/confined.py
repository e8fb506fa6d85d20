# SPDX-License-Identifier: Apache-2.0
"""Runs a program that may not set up an io_uring, as in a container or after the sysctl.

    confined.py ERRNO PROGRAM [ARGUMENT]...
"""
import ctypes
import os
import platform
import struct
import sys

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
IO_URING_SETUP = 425  # the same on all architectures
ALLOW, ERRNO = 0x7FFF0000, 0x00050000


def instruction(code, jump_true, jump_false, value):
    return struct.pack("HBBI", code, jump_true, jump_false, value)


def forbid(number):
    """io_uring_setup fails with this errno from now on, also in children."""
    program = (instruction(0x20, 0, 0, 0)  # load the number of the system call
               + instruction(0x15, 0, 1, IO_URING_SETUP)
               + instruction(0x06, 0, 0, ERRNO | number)
               + instruction(0x06, 0, 0, ALLOW))
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
    forbid(int(sys.argv[1]))
    os.execv(sys.argv[2], sys.argv[2:])
