# SPDX-License-Identifier: Apache-2.0
"""A small machine: a control group with a limit of memory, and what the kernel says of it."""
import os
import re

from bbstore import KIB, MIB, Skip, expect, wait_until

FIRST, SECOND = "/sys/fs/cgroup/memory", "/sys/fs/cgroup"


def first_number(pattern, text):
    found = re.search(pattern, text, re.M)
    return int(found.group(1)) if found else 0


class Group:
    """A memory control group, of version 1 or 2. Skips the case where none can be made."""

    def __init__(self, limit):
        self.first = os.path.exists(os.path.join(FIRST, "memory.limit_in_bytes"))
        name = f"bb-test-{os.getpid()}-{limit // MIB}"
        self.path, self.limit = os.path.join(FIRST if self.first else SECOND, name), limit
        try:
            os.mkdir(self.path)
        except OSError as why:
            raise Skip(f"no memory control group can be made here: {why}") from why
        try:
            self.write("memory.limit_in_bytes" if self.first else "memory.max", limit)
        except OSError as why:
            os.rmdir(self.path)
            raise Skip(f"no limit can be set on a control group here: {why}") from why

    def __enter__(self):
        return self

    def __exit__(self, *_):
        def gone():
            try:
                os.rmdir(self.path)
            except OSError:
                return False
            return True
        wait_until(gone, f"the end of {self.path}", 10, 0.05)

    def write(self, name, value):
        with open(os.path.join(self.path, name), "w", encoding="ascii") as file:
            file.write(str(value))

    def read(self, *names):
        """The first of the files that is there; kernels differ in what they have."""
        for name in names:
            try:
                with open(os.path.join(self.path, name), encoding="ascii") as file:
                    return file.read()
            except OSError:
                pass
        return ""

    def prefix(self, one_cpu=False):
        """Command that starts another one in the group."""
        cpu = ("taskset", "-c", str(min(os.sched_getaffinity(0)))) if one_cpu else ()
        return (*cpu, "/bin/sh", "-c", f'echo $$ >"{self.path}/cgroup.procs" && exec "$@"', "sh")

    def used(self):
        """Bytes charged at the moment, the kernel's for it included."""
        return int(self.read("memory.usage_in_bytes", "memory.current") or 0)

    def most(self):
        """MiB, 0 where the kernel does not keep it."""
        return int(self.read("memory.max_usage_in_bytes", "memory.peak") or 0) / MIB

    def killed(self):
        """Processes that the kernel ended for want of memory."""
        return first_number(r"^oom_kill (\d+)", self.read("memory.oom_control", "memory.events"))

    def full(self):
        """How often something had to be taken back first, from the page cache."""
        if self.first:
            return int(self.read("memory.failcnt") or 0)
        return first_number(r"^max (\d+)", self.read("memory.events"))

    def cached(self):
        """Bytes of the page cache, that of the index."""
        return first_number(r"^(?:total_cache|file) (\d+)", self.read("memory.stat"))

    def no_one_was_killed(self):
        print(f"{self.most():.1f} MiB at most of {self.limit // MIB}, {self.full()} times full, "
              f"{self.cached() / MIB:.1f} MiB of it page cache at the end")
        expect(self.killed() == 0, f"the kernel ended {self.killed()} for want of memory")


class Resident:
    """What a process holds in memory, in MiB: anon (its own, huge pages included), file (code and
    the part of the index that is mapped, which the kernel takes back at will), pinned."""

    def __init__(self, pid):
        fields = {}
        with open(f"/proc/{pid}/status", encoding="utf-8") as file:
            for line in file:
                name, _, value = line.partition(":")
                if value.strip().endswith("kB"):
                    fields[name] = int(value.split()[0]) * KIB / MIB
        self.anon = fields["RssAnon"] + fields.get("HugetlbPages", 0)
        self.file, self.pinned = fields["RssFile"], fields.get("VmPin", 0)
        self.all = fields["VmRSS"] + fields.get("HugetlbPages", 0)

    def __str__(self):
        return f"RSS {self.all:.1f} MiB: anonymous {self.anon:.1f}, files {self.file:.1f}"
