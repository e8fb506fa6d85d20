# SPDX-License-Identifier: Apache-2.0
"""Devices to measure on: which ones are refused, filling them, loop and zram devices of our own, and
the machine and its devices in words.
"""
import fcntl
import glob
import mmap
import os
import re
import stat
import struct
import time

from machine import (GIB, KIB, MIB, Refused, Unable, at_exit, find_program, read_text, run,
                     wait_until, write_text)

BLKFLSBUF = 0x1261
FS_IOC_FIEMAP, FIEMAP_UNWRITTEN, FIEMAP_COUNT = 0xC020660B, 0x800, 512  # linux/fiemap.h
FIEMAP_HEAD, FIEMAP_EXTENT = struct.Struct("=QQIIII"), struct.Struct("=Q8xQ16xI12x")
FILL_PIECE = 8 * MIB


def is_block(path):
    try:
        return stat.S_ISBLK(os.stat(path).st_mode)
    except OSError:
        return False


def size_of(path):
    with open(path, "rb") as file:
        return file.seek(0, os.SEEK_END)


def sysfs_of(path):
    """Folder of a block device below /sys/class/block, else None."""
    return f"/sys/class/block/{os.path.basename(os.path.realpath(path))}" if is_block(path) else None


def check_device(path, what):
    """Refuses what is not there, not a block device (a file of ours excepted), mounted or held."""
    if not os.path.exists(path):
        raise Refused(f"{path}: does not exist, name the {what} device")
    if not is_block(path):
        raise Refused(f"{path}: not a block device; losetup --direct-io=on makes one of a file")
    try:
        os.close(os.open(path, os.O_RDWR | os.O_EXCL | os.O_CLOEXEC))
    except OSError as error:
        raise Refused(f"{path}: mounted, or held by another program, or not writable "
                      f"({error.strerror}); nothing was changed") from error
    for folder in glob.glob(f"{sysfs_of(path)}/holders/*"):
        raise Refused(f"{path}: {os.path.basename(folder)} stands on it; nothing was changed")


def flush_cache(path):
    """Writes back and drops what the page cache holds of a block device."""
    if is_block(path):
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
            fcntl.ioctl(fd, BLKFLSBUF, 0)
        finally:
            os.close(fd)


def requests_of(path):
    """What a block device has been asked to do since it exists, after merging; {} where that is not
    counted."""
    fields = [int(word) for word in read_text(f"{sysfs_of(path)}/stat").split()] if is_block(path) else []
    if len(fields) < 17:
        return {}
    # A flush is among the writes, too.
    return {"device_reads": fields[0], "device_read_sectors": fields[2],
            "device_writes": fields[4] - fields[15]}


def read_bytes(path):
    """Bytes read from a block device since it exists, None where that is not counted."""
    sectors = requests_of(path).get("device_read_sectors")
    return None if sectors is None else sectors * 512


def unwritten(path):
    """Bytes of a file that nobody wrote, holes and allocated ones; None where that is not known."""
    size, at = os.stat(path).st_size, 0
    written = 0
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        while at < size:
            request = bytearray(FIEMAP_HEAD.pack(at, size - at, 1, 0, FIEMAP_COUNT, 0)
                                + bytes(FIEMAP_COUNT * FIEMAP_EXTENT.size))
            fcntl.ioctl(fd, FS_IOC_FIEMAP, request)
            count = FIEMAP_HEAD.unpack_from(request)[3]
            for i in range(count):
                logical, length, flags = FIEMAP_EXTENT.unpack_from(
                    request, FIEMAP_HEAD.size + i * FIEMAP_EXTENT.size)
                written += 0 if flags & FIEMAP_UNWRITTEN else min(length, size - logical)
                at = logical + length
            if count < FIEMAP_COUNT:
                break
    except OSError:
        return None
    finally:
        os.close(fd)
    return size - written


def fill(path, offset, size, say):
    """Writes random bytes past the page cache: holes, and blocks that nobody wrote, flatter reads."""
    piece = mmap.mmap(-1, FILL_PIECE)
    began, at = time.monotonic(), 0
    fd = os.open(path, os.O_WRONLY | os.O_DIRECT | os.O_CLOEXEC)
    try:
        while at < size:
            if at % (64 * FILL_PIECE) == 0:
                piece[:] = os.urandom(FILL_PIECE)
            part = min(FILL_PIECE, size - at)
            with memoryview(piece) as view, view[:part] as bytes_:
                at += os.pwritev(fd, [bytes_], offset + at)
        os.fsync(fd)
    finally:
        os.close(fd)
    seconds = time.monotonic() - began
    say(f"{path}: {size // MIB} MiB filled with random bytes in {seconds:.0f} s")


class Loop:
    """A loop device over a new file of ours, direct I/O, fully allocated."""

    def __init__(self, folder, name, size):
        self.file, self.path = os.path.join(folder, name), None
        with open(self.file, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, size)
        at_exit(self.remove)
        if os.geteuid() == 0 and find_program("losetup"):
            done = run("losetup", "--find", "--show", "--direct-io=on", self.file, check=False)
            self.path = done.out.strip() if done.code == 0 else None

    def device(self):
        """The file itself where there are no loop devices."""
        return self.path or self.file

    def remove(self):
        if self.path:
            run("losetup", "--detach", self.path, check=False)
            self.path = None
        if os.path.exists(self.file):
            os.unlink(self.file)


class Zram:
    """A compressed device in memory: fast, and every fill of random bytes costs its size."""

    def __init__(self, size):
        number = read_text("/sys/class/zram-control/hot_add")
        if not number.isdigit():
            raise Unable("no zram device can be made here (module zram, root)")
        self.number, self.path = int(number), f"/dev/zram{number}"
        at_exit(self.remove)
        try:
            write_text(f"/sys/block/zram{number}/disksize", str(size))
        except OSError as error:
            raise Unable(f"zram: {error}") from error
        wait_until(lambda: is_block(self.path), self.path, 60)

    def remove(self):
        if self.number is None:
            return

        def reset():
            try:
                write_text(f"/sys/block/zram{self.number}/reset", "1")
                return True
            except OSError:
                return False  # still held for a moment by who was killed
        wait_until(reset, f"reset of {self.path}", 60, 0.1)
        write_text("/sys/class/zram-control/hot_remove", str(self.number))
        self.number = None


# ---- in words ----

def filesystem_of(path):
    """Kind and place of the filesystem that holds a file, from the longest mount above it."""
    best = ("?", "")
    for line in read_text("/proc/self/mountinfo").splitlines():
        fields, rest = line.split(" - ")
        where = fields.split()[4]
        if (path == where or path.startswith(where.rstrip("/") + "/")) and len(where) >= len(best[1]):
            best = (rest.split()[0], where)
    return best


def size_text(size):
    for unit, name in ((GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if size >= unit:
            return f"{size / unit:.4g} {name}"
    return f"{size} bytes"


def describe_device(path):
    found = {"path": path, "size": size_of(path)}
    folder = sysfs_of(path)
    if folder is None:
        found.update(kind="file", file=path, filesystem=" on ".join(filesystem_of(path)))
        return found
    queue = folder + "/queue" if os.path.isdir(folder + "/queue") else folder + "/../queue"
    for key in ("logical_block_size", "physical_block_size", "nr_requests", "write_cache",
                "rotational", "scheduler", "max_sectors_kb"):
        found[key] = read_text(f"{queue}/{key}")
    found["kind"] = re.sub(r"\d.*", "", os.path.basename(os.path.realpath(path)))
    found["model"] = read_text(f"{folder}/device/model") or read_text(f"{folder}/../device/model")
    backing = read_text(f"{folder}/loop/backing_file")
    if backing:
        found.update(kind="loop", file=backing, direct_io=read_text(f"{folder}/loop/dio") == "1",
                     filesystem=" on ".join(filesystem_of(backing)))
    return found


def disk_of(path):
    """Number of the device that the block layer asks: of a partition its disk, of a file what it is
    on."""
    status = os.stat(path)
    number = status.st_rdev if stat.S_ISBLK(status.st_mode) else status.st_dev
    folder = f"/sys/dev/block/{os.major(number)}:{os.minor(number)}"
    if os.path.exists(f"{folder}/partition"):
        major, minor = read_text(f"{folder}/../dev").split(":")
        number = os.makedev(int(major), int(minor))
    return number


def describe(devices, programs):
    """Everything that has to stand beside a figure."""
    cpu = re.search(r"^model name\s*: (.*)", read_text("/proc/cpuinfo"), re.M)
    flags = re.search(r"^flags\s*: (.*)", read_text("/proc/cpuinfo"), re.M)
    memory = re.search(r"^MemTotal:\s+(\d+) kB", read_text("/proc/meminfo"), re.M)
    return {
        "cores": len(os.sched_getaffinity(0)),
        "cpu": cpu.group(1) if cpu else os.uname().machine,
        "cpu_sha": bool(flags and " sha_ni " in f" {flags.group(1)} "),
        "kernel": os.uname().release,
        "memory": int(memory.group(1)) * KIB if memory else 0,
        "system": (re.findall(r'^PRETTY_NAME="(.*)"', read_text("/etc/os-release"), re.M) or ["?"])[0],
        "load_average": os.getloadavg()[0],
        "time": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        "devices": {name: describe_device(path) for name, path in devices.items()},
        "programs": programs,
    }


def description_text(found):
    lines = [f"machine   {found['cores']} cores, {found['cpu']}"
             f"{'' if found['cpu_sha'] else ', no SHA extensions'}; {size_text(found['memory'])}; "
             f"{found['system']}, Linux {found['kernel']}; load {found['load_average']:.2f}"]
    for name, device in found["devices"].items():
        text = f"{name:9} {device['path']}, {size_text(device['size'])}, {device['kind']}"
        if device.get("model"):
            text += f" {device['model']}"
        if device.get("file"):
            text += f" over {device['file']} ({device['filesystem']}"
            text += ")" if device["kind"] == "file" else \
                f", direct I/O {'on' if device['direct_io'] else 'OFF'})"
        if device.get("logical_block_size"):
            text += (f", sectors of {device['logical_block_size']}, {device['write_cache']}, "
                     f"nr_requests {device['nr_requests']}")
        lines.append(text)
    lines.append("programs  " + ", ".join(f"{name} {version}"
                                          for name, version in found["programs"].items()))
    if found["load_average"] > 0.5 * found["cores"]:
        lines.append(f"NOTE      the machine is busy (load {found['load_average']:.2f}): expect "
                     "wide spreads")
    return "\n".join(lines)
