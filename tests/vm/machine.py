# SPDX-License-Identifier: Apache-2.0
"""One emulated machine: its disks, its two serial lines and its end.

The first serial line is the kernel's console, the second carries results, a line each.  The machine
ends when it powers itself off, when its time is up, with this process, or at once when it says "cut".
"""
import os
import subprocess
import time

MEMORY_MIB = 1024
CPUS = 2
# A failed command is reported and not repeated by the kernel: it is bbd that is looked at.
APPEND = "console=ttyS0 panic=-1 nvme_core.max_retries=0 loglevel=6"
# Last lines of a machine: it is done, it loses its power now, it is about to boot again.
ENDS = ("end", "cut", "reboot")


class Disk:
    """An NVMe controller with one namespace; `name` is its serial number.  Without a size the file
    is there already."""

    def __init__(self, name, path, mib=None, sector=512):
        self.name, self.path, self.sector = name, path, sector
        self.source = path
        if mib is not None:
            with open(path, "wb") as file:
                file.truncate(mib << 20)

    def arguments(self):
        return ["-drive", f"if=none,id={self.name},format=raw,file={self.source}",
                "-device", f"nvme,id=nvme-{self.name},serial={self.name},drive={self.name},"
                f"logical_block_size={self.sector},physical_block_size={self.sector}"]


def fail_flushes(disk, number, count):
    """Makes flush `number` of the disk and those after it, `count` in all, fail once each."""
    path = disk.path + ".faults"
    with open(path, "w", encoding="ascii") as file:
        for state in range(1, number + count):
            file.write(f'[set-state]\nevent = "flush_to_disk"\nstate = "{state}"\n'
                       f'new_state = "{state + 1}"\n\n')
        for state in range(number, number + count):
            file.write(f'[inject-error]\nevent = "flush_to_disk"\niotype = "flush"\n'
                       f'state = "{state}"\nerrno = "5"\nonce = "on"\n\n')
    return f"blkdebug:{path}:{disk.path}"


class Machine:
    def __init__(self, folder, kernel, root, disks, words):
        self.console = os.path.join(folder, "console")
        self.results = os.path.join(folder, "results")
        self.complaints = os.path.join(folder, "emulator")
        append = " ".join([APPEND, root.append, *(f"vm.{key}={value}" for key, value in words.items())])
        self.command = ["setpriv", "--pdeathsig", "KILL", "nice", "-n", "10", "qemu-system-x86_64",
                        "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", str(CPUS),
                        "-m", str(MEMORY_MIB), "-nodefaults", "-no-reboot", "-display", "none",
                        "-monitor", "none", "-nic", "none", "-serial", f"file:{self.console}",
                        "-serial", f"file:{self.results}", "-kernel", kernel.image, "-append", append]
        if root.initrd:
            self.command += ["-initrd", root.initrd]
        for disk in [*root.disks, *disks]:
            self.command += disk.arguments()

    def run(self, seconds, take):
        """Runs it to its end and gives each line of the results to take().  Returns the last line,
        one of ENDS, or a sentence about what went wrong."""
        open(self.results, "wb").close()
        deadline = time.monotonic() + seconds
        last = ""
        with open(self.complaints, "wb") as complaints, \
                subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stderr=complaints) as process, \
                open(self.results, encoding="utf-8", errors="replace") as results:
            try:
                while True:
                    ended = process.poll() is not None  # before the last look at the results
                    last = self.lines(results, take, last)
                    if last == "cut":
                        return last
                    if ended:
                        break
                    if time.monotonic() > deadline:
                        return f"no end after {seconds} s"
                    time.sleep(0.1)
            finally:
                process.kill()
        if last in ENDS:
            return last
        return f"the machine ended early, emulator's status {process.returncode}"

    @staticmethod
    def lines(results, take, last):
        while True:
            at = results.tell()
            line = results.readline()
            if not line.endswith("\n"):
                results.seek(at)
                return last
            last = line.rstrip()
            if last and last not in ENDS:
                take(last)
