# SPDX-License-Identifier: Apache-2.0
"""Root file systems for the machine, one function for each kind.

A kind gives a Root: what the kernel loads or mounts as its root, and the words on its command line
that start it.  `busybox` is an archive that the kernel unpacks into memory, with nothing in it but a
shell, the programs under test and their libraries.  `system` is a disk with a small Debian, systemd
and udev as everywhere, and a second disk with the package under test.  Both have the scenarios in /vm
and their results on the second serial line.
"""
import glob
import os
import shutil
import stat
import subprocess
import typing

from machine import Disk

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


# ---- a Debian on a disk ----

SYSTEM_MIB = 1024
PARTITION = "5b9e4e0a-6c31-4f0c-9a3f-0d6a3c1f7e21"
PARTITION_OFFSET = 1 << 20
UNUSED = ["var/cache/apt/archives", "var/lib/apt/lists", "usr/share/locale", "usr/share/doc"]
FILES = {
    "etc/fstab": f"PARTUUID={PARTITION} / ext4 defaults 0 1\nLABEL=vm /vm ext4 ro 0 2\n",
    "etc/hostname": "vm\n",
    "etc/hosts": "127.0.0.1 localhost vm\n::1 localhost\n",
    # The scenario is a service like any other; what it starts is not its own.
    "etc/systemd/system/vm.service": "[Unit]\nDescription=Scenario\nAfter=multi-user.target\n"
    "RequiresMountsFor=/vm\n[Service]\n"
    "ExecStart=/bin/sh -c 'exec /vm/scenario </dev/null >/dev/ttyS1 2>&1'\n",
}


def file_system(folder, path, mib, label, offset=0):
    """A file with an ext4 that has the folder's content, from this byte on; nothing is mounted."""
    with open(path, "ab") as file:
        file.truncate(mib << 20)
    size = (mib << 10) - 2 * (offset >> 10)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-L", label, "-E", f"offset={offset},root_owner=0:0",
                    "-d", folder, path, f"{size}k"], check=True)


def system_pack(kernel, folder, path):
    """Makes a debootstrap folder ready to boot, and a disk with one partition of it."""
    for name in UNUSED:
        shutil.rmtree(os.path.join(folder, name), ignore_errors=True)
        os.makedirs(os.path.join(folder, name))
    shutil.copytree(kernel.modules, os.path.join(folder, "lib/modules", kernel.version))
    shutil.copy(kernel.image, os.path.join(folder, "boot"))  # says who asks which kernel this is
    subprocess.run(["chroot", folder, "depmod", kernel.version], check=True)
    for name, text in FILES.items():
        with open(os.path.join(folder, name), "w", encoding="ascii") as file:
            file.write(text)
    wants = os.path.join(folder, "etc/systemd/system/multi-user.target.wants")
    os.makedirs(wants, exist_ok=True)
    os.symlink("/etc/systemd/system/vm.service", os.path.join(wants, "vm.service"))
    os.makedirs(os.path.join(folder, "vm"))
    file_system(folder, path, SYSTEM_MIB, "root", PARTITION_OFFSET)
    subprocess.run(["sgdisk", "--new=1:2048:0", f"--partition-guid=1:{PARTITION}", path],
                   stdout=subprocess.DEVNULL, check=True)


def package(build, folder):
    """Builds the Debian package from a build folder."""
    done = subprocess.run(["cpack", "-G", "DEB", "--config", os.path.join(build, "CPackConfig.cmake"),
                           "-B", folder], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          check=False)
    if done.returncode != 0:
        raise RuntimeError(f"cpack fails: {done.stdout[-2000:]}")
    return glob.glob(os.path.join(folder, "*.deb"))[0]


def system(image, folder, deb, scripts):
    """A copy of the image of debian.system() for one run, in its folder, and a disk for /vm."""
    disk = os.path.join(folder, "system")
    subprocess.run(["cp", "--sparse=always", image, disk], check=True)
    content = os.path.join(folder, "vm")
    shutil.copytree(scripts, content)
    shutil.copy(deb, content)
    file_system(content, content + ".img", 32, "vm")
    return Root(None, [Disk("system", disk), Disk("vm", content + ".img")],
                f"root=PARTUUID={PARTITION} rootwait rw systemd.show_status=no")
