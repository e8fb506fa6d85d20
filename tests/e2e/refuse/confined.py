# SPDX-License-Identifier: Apache-2.0
"""Runs a program that may not set up an io_uring, as in a container or after the sysctl.

    confined.py ERRNO PROGRAM [ARGUMENT]...
"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from bbseccomp import ALLOW, ERRNO, install  # noqa: E402

IO_URING_SETUP = 425  # the same on all architectures

if __name__ == "__main__":
    install([(IO_URING_SETUP, ERRNO | int(sys.argv[1]))], ALLOW)
    os.execv(sys.argv[2], sys.argv[2:])
