# SPDX-License-Identifier: Apache-2.0
"""Ceph BlueStore, the peer that stores on a raw device: one monitor and one OSD on our device, asked by
`rados bench` with 64 operations in flight, durable, one copy.

It needs the whole device, so everything that is compared with it is measured in turns of its own:
ours, Ceph, ours, Ceph, ours, each on a device laid out anew.
"""
import os
import re
import shutil
import time
import uuid

import machine
from bench import KIB4
from machine import KIB, Unable
from result import Sample, Series

CEPH = "Ceph BlueStore"
PACKAGES = "ceph-osd ceph-mon ceph-common"
CONF = """
[global]
fsid = {fsid}
mon host = 127.0.0.1
mon initial members = a
auth cluster required = none
auth service required = none
auth client required = none
public network = 127.0.0.0/8
osd pool default size = 1
osd pool default min size = 1
osd crush chooseleaf type = 0
mon allow pool size one = true
mon warn on pool no redundancy = false
run dir = {folder}/run
log file = {folder}/log/$name.log
admin socket = {folder}/run/$name.asok
pid file = {folder}/run/$name.pid
bluestore block path = {device}
osd data = {folder}/osd
mon data = {folder}/mon
osd objectstore = bluestore
osd memory target = 4294967296
"""


class Ceph:
    """A cluster of one OSD on a device, from start() to stop()."""

    def __init__(self, device, base):
        self.device, self.base, self.folder, self.processes = device, base, None, []

    def command(self, name, *arguments, check=True):
        program = machine.need_program(name, PACKAGES)
        return machine.run(program, "-c", f"{self.folder}/ceph.conf", *arguments, check=check,
                           timeout=300)

    def daemon(self, name, *arguments):
        program = machine.need_program(name, PACKAGES)
        process = machine.start([program, "-c", f"{self.folder}/ceph.conf", "-f", *arguments],
                                f"{self.folder}/log/{name}.out")
        self.processes.append(process)
        return process

    def start(self):
        for name in ("monmaptool", "ceph-mon", "ceph-osd", "ceph", "rados"):
            machine.need_program(name, PACKAGES)
        self.folder = machine.new_folder(self.base, "ceph")
        for name in ("mon", "osd", "run", "log"):
            os.mkdir(f"{self.folder}/{name}")
        fsid = str(uuid.uuid4())
        machine.write_text(f"{self.folder}/ceph.conf",
                           CONF.format(fsid=fsid, folder=self.folder, device=self.device))
        machine.run(machine.find_program("monmaptool"), "--create", "--add", "a", "127.0.0.1",
                    "--fsid", fsid, f"{self.folder}/monmap", "--clobber")
        self.command("ceph-mon", "--mkfs", "-i", "a", "--monmap", f"{self.folder}/monmap")
        self.daemon("ceph-mon", "-i", "a")
        time.sleep(2)
        number = self.command("ceph", "osd", "create").out.strip()
        self.command("ceph-osd", "-i", number, "--mkfs", "--osd-uuid", str(uuid.uuid4()))
        self.command("ceph", "osd", "crush", "add", f"osd.{number}", "1.0", "host=h", "root=default")
        self.daemon("ceph-osd", "-i", number)
        machine.wait_until(lambda: "1 up" in self.command("ceph", "osd", "stat", check=False).out,
                           "the OSD", 60, 1)
        self.command("ceph", "osd", "pool", "create", "bench", "32", "32")
        self.command("ceph", "osd", "pool", "set", "bench", "size", "1", "--yes-i-really-mean-it",
                     check=False)

    def bench(self, kind, seconds, *options):
        """Operations per second of `rados bench`, with the processor time of monitor and OSD."""
        used = machine.cpu_of([process.pid for process in self.processes])
        done = self.command("rados", "bench", "-p", "bench", str(seconds), kind, "-t", "64", *options)
        used = machine.cpu_of([process.pid for process in self.processes]) - used
        rate = re.search(r"^Average IOPS:\s+([\d.]+)", done.out, re.M)
        total = re.search(r"^Total (?:writes|reads) made:\s+(\d+)", done.out, re.M)
        if not rate:
            raise Unable(f"rados bench said nothing that could be read: {done.out[-200:]}")
        count = int(total.group(1)) if total else float(rate.group(1)) * seconds
        return Sample(float(rate.group(1)), cpu=used / max(count, 1),
                      client=done.cpu_us / max(count, 1), workers=1)

    def stop(self):
        for process in reversed(self.processes):
            machine.end(process, 30)
        self.processes = []
        if self.folder:
            shutil.rmtree(self.folder, True)


def measure(device, base, seconds):
    """{name: Sample} of 4 KiB and 512 KiB, each size in a cluster of its own."""
    found = {}
    for size in (KIB4, 512 * KIB):
        ceph = Ceph(device, base)
        try:
            ceph.start()
            found["put", size] = ceph.bench("write", seconds, "-b", str(size), "--no-cleanup")
            found["get", size] = ceph.bench("rand", seconds)
        finally:
            ceph.stop()
    return found


def ours(bench):
    found = {}
    for size in (KIB4, 512 * KIB):
        bench.new_store()
        phases = bench.store.bench("--ops", "put,get", "--size", size, "--seconds", bench.seconds,
                                   "--requests", bench.blocks_that_fit(size))
        bench.stop()
        for op in ("put", "get"):
            found[op, size] = bench.sample(phases[op])
    return found


LINES = [(1, "PUT 4 KiB", "put", KIB4, 4), (2, "GET 4 KiB", "get", KIB4, 2.5),
         (3, "PUT 512 KiB", "put", 512 * KIB, 1.2), (3, "GET 512 KiB", "get", 512 * KIB, 1.0)]


def rows(bench):
    """The lines of rows 1 to 3 against Ceph."""
    mine, theirs = {}, {}

    def take(found, name, into):
        for key, sample in found.items():
            into.setdefault(key, Series(name)).add(sample)
    try:
        machine.need_program("ceph-osd", PACKAGES)
        take(ours(bench), "ours", mine)
        for _ in range(bench.rounds):
            take(measure(bench.store.data, bench.folder, bench.seconds), CEPH, theirs)
            take(ours(bench), "ours", mine)
    except Unable as reason:
        bench.stop()
        for row, what, op, size, _ in LINES:
            bench.add(row, what, mine.get((op, size)), skipped=f"{CEPH}: {reason}")
        return
    for row, what, op, size, target in LINES:
        bench.add(row, what, mine[op, size], theirs[op, size], target,
                  note="both on a device laid out anew, GET of what the PUT before it stored")
