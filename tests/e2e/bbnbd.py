# SPDX-License-Identifier: Apache-2.0
"""Disks that a test can break: nbdkit behind nbdfuse behind a loop device with direct I/O.

    bbd -> loop device -> file of nbdfuse -> nbdkit -> image
"""
import os
import shutil
import subprocess

import bbtest
from bbstore import Loop, expect, run, wait_until


def why_not(*plugins):
    """Why this cannot run here, None when it can.  plugins: words that nbdkit must understand."""
    for name in ("nbdkit", "nbdfuse", "nbdcopy", "fusermount3"):
        if shutil.which(name) is None:
            return f"{name} is not installed (packages nbdkit, libnbd-bin, fuse3)"
    if os.geteuid() != 0:
        return "loop devices need root"
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "there is no /dev/fuse to use"
    for words in plugins:
        if run("nbdkit", "--dump-plugin", *words).returncode != 0:
            return f"nbdkit does not know {' '.join(words)} here"
    return None


def mounted(path):
    with open("/proc/self/mounts", encoding="utf-8") as mounts:
        return any(line.split()[1] == path for line in mounts)


def listening(path):
    """Whether somebody listens on a unix socket; that its name is there says only that it is bound."""
    with open("/proc/net/unix", encoding="utf-8") as sockets:
        return any(line.split()[3] == "00010000" and line.split()[-1] == path for line in sockets)


class Server:
    """nbdkit on a socket of its own, ended by end()."""

    def __init__(self, folder, *words):
        self.socket = os.path.join(folder, f"socket-{len(os.listdir(folder))}")
        self.process = subprocess.Popen(  # pylint: disable=consider-using-with
            ["nbdkit", "--foreground", "--exit-with-parent", "--unix", self.socket, *words],
            stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(lambda: listening(self.socket) or self.process.poll() is not None, "nbdkit")
        expect(self.process.poll() is None, f"nbdkit ended: {self.process.returncode}")

    def end(self):
        self.process.terminate()
        self.process.wait(60)

    def cut(self):
        """SIGKILL, without a chance to write anything."""
        self.process.kill()
        self.process.wait(60)


class Disk:
    """An export of a server as a loop device."""

    def __init__(self, folder, server, size, export="", sector=512):
        self.file, self.mount, self.loop = os.path.join(folder, f"disk{export}"), None, None
        with open(self.file, "wb"):
            pass
        try:
            self.attach(server, size, export, sector)
        except BaseException:
            self.end()
            raise

    def attach(self, server, size, export, sector):
        self.mount = subprocess.Popen(  # pylint: disable=consider-using-with
            ["nbdfuse", self.file, f"nbd+unix:///{export}?socket={server.socket}"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        wait_until(lambda: os.stat(self.file).st_size == size or self.mount.poll() is not None,
                   "the file of nbdfuse")
        if self.mount.poll() is not None:
            raise bbtest.Skip(f"nbdfuse does not work here: {self.mount.stderr.read().strip()}")
        self.loop = Loop(self.file, sector)

    def end(self):
        """From the top: loop device, then file.  Twice is no harm."""
        if self.loop is not None:
            self.loop.detach()
            self.loop = None
        if self.mount is not None:
            def unmounted():  # also when nbdfuse died with its server: the mount stays
                run("fusermount3", "-u", self.file)
                return not mounted(self.file)
            wait_until(unmounted, "unmounting what nbdfuse serves", 60, 0.1)
            self.mount.stderr.close()
            self.mount.wait(60)
            self.mount = None
