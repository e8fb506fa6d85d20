# SPDX-License-Identifier: Apache-2.0
"""Root file systems for the machine, one function for each kind.

A kind gives a Root: what the kernel loads or mounts as its root, and the words on its command line
that start it.  `busybox` is an archive that the kernel unpacks into memory, with nothing in it but a
shell, the programs under test and their libraries.  A root with systemd and udev is another such
function: an image for its own disk, with the same folder /vm and the same second serial line for the
results.
"""
import os
import stat
import subprocess
import typing

# In the order in which they are loaded, with their parameters; NVMe is built into Debian's kernel.
MODULES = {"fs/configfs/configfs": "", "drivers/block/null_blk/null_blk": "nr_devices=0"}
APPLETS = ["sh", "awk", "cat", "dmesg", "grep", "insmod", "ip", "kill", "mkdir", "mount", "poweroff",
           "realpath", "rm", "rmdir", "sed", "sleep", "tail", "tr", "wc"]


class Root(typing.NamedTuple):
    initrd: str  # file, or None
    disks: list  # further Disks that the machine needs, the root's own among them
    append: str  # words for the kernel's command line


class Archive:
    """A cpio archive in the kernel's format ("newc"), written member by member."""

    def __init__(self, path):
        self.file = open(path, "wb")
        self.count = 0
        self.known = set()

    def member(self, name, mode, data=b""):
        self.count += 1
        encoded = name.encode() + b"\0"
        fields = [self.count, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(encoded), 0]
        head = b"070701" + b"".join(b"%08X" % field for field in fields) + encoded
        for part in (head, data):
            self.file.write(part + b"\0" * (-len(part) % 4))

    def folder(self, path):
        """With those above it."""
        if path and path not in self.known:
            self.folder(os.path.dirname(path))
            self.known.add(path)
            self.member(path, stat.S_IFDIR | 0o755)

    def add(self, source, path, mode=0o755):
        if path in self.known:
            return
        self.folder(os.path.dirname(path))
        self.known.add(path)
        with open(source, "rb") as file:
            self.member(path, stat.S_IFREG | mode, file.read())

    def text(self, path, text):
        self.folder(os.path.dirname(path))
        self.member(path, stat.S_IFREG | 0o644, text.encode())

    def link(self, path, target):
        self.folder(os.path.dirname(path))
        self.member(path, stat.S_IFLNK | 0o777, target.encode())

    def close(self):
        self.member("TRAILER!!!", 0)
        self.file.close()


def libraries(program):
    """Files that the loader wants for a program, itself included."""
    output = subprocess.run(["ldd", program], stdout=subprocess.PIPE, text=True, check=True).stdout
    return [word for word in output.split() if word.startswith("/")]


def busybox(cache, kernel, shell, programs, scripts):
    """Archive with busybox as shell and scripts/init as first process."""
    path = os.path.join(cache, "busybox.cpio")
    archive = Archive(path)
    for folder in ("dev", "proc", "sys", "run", "tmp", "config"):
        archive.folder(folder)
    archive.add(shell, "bin/busybox")
    for name in APPLETS:
        archive.link("bin/" + name, "busybox")
    for program in programs:
        archive.add(program, "usr/sbin/" + os.path.basename(program))
        for library in libraries(program):
            archive.add(library, library.lstrip("/"))
    for module in MODULES:
        archive.add(os.path.join(kernel.modules, "kernel", module + ".ko"),
                    f"modules/{os.path.basename(module)}.ko", 0o644)
    archive.text("modules/order", "".join(f"{os.path.basename(name)} {parameters}\n"
                                            for name, parameters in MODULES.items()))
    for name in os.listdir(scripts):
        archive.add(os.path.join(scripts, name), "init" if name == "init" else "vm/" + name)
    archive.close()
    return Root(path, [], "rdinit=/init")
