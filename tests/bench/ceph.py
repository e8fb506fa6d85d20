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
        osd = str(uuid.uuid4())  # the monitor turns away an OSD that it knows by another name
        number = self.command("ceph", "osd", "create", osd).out.strip()
        self.command("ceph-osd", "-i", number, "--mkfs", "--osd-uuid", osd)
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
                      client=done.cpu_us / max(count, 1))

    def stop(self):
        for process in reversed(self.processes):
            machine.end(process, 30)
        self.processes = []
        if self.folder:
            shutil.rmtree(self.folder, True)


def measure(bench, size):
    """{op: Sample} of Ceph, on the device laid out anew for it."""
    ceph = Ceph(bench.store.data, bench.folder)
    try:
        ceph.start()
        return {"put": ceph.bench("write", bench.seconds, "-b", str(size), "--no-cleanup"),
                "get": ceph.bench("rand", bench.seconds)}
    finally:
        ceph.stop()


def ours(bench, size):
    bench.new_store()
    phases = bench.store.bench("--ops", "put,get", "--size", size, "--seconds", bench.seconds,
                               "--requests", bench.blocks_that_fit(size))
    bench.stop()
    return {op: bench.sample(phases[op]) for op in ("put", "get")}


def lines(bench, size, text, targets):
    """targets: (row, op, target)."""
    mine = {op: Series("ours") for _, op, _ in targets}
    theirs = {op: Series(CEPH) for _, op, _ in targets}

    def take(found, into):
        for op, sample in found.items():
            into[op].add(sample)
    try:
        machine.need_program("ceph-osd", PACKAGES)
        take(ours(bench, size), mine)
        for _ in range(bench.rounds):
            take(measure(bench, size), theirs)
            take(ours(bench, size), mine)
    except Unable as reason:
        bench.stop()
        for row, op, _ in targets:
            bench.add(row, f"{op.upper()} {text}", mine[op] if mine[op].samples else None,
                      skipped=f"{CEPH}: {reason}")
        return
    for row, op, target in targets:
        bench.add(row, f"{op.upper()} {text}", mine[op], theirs[op], target,
                  note="both on a device laid out anew, 64 in flight, GET of what the PUT before it "
                       "stored; Ceph may cache what it reads" if op == "get" else
                       "both on a device laid out anew, 64 in flight")


def small(bench):
    """PUT and GET of 4 KiB beside Ceph BlueStore."""
    lines(bench, KIB4, "4 KiB", ((1, "put", 4), (2, "get", 2.5)))


def large(bench):
    """PUT and GET of 512 KiB beside Ceph BlueStore."""
    lines(bench, 512 * KIB, "512 KiB", ((3, "put", 1.2), (3, "get", 1.0)))
