# SPDX-License-Identifier: Apache-2.0
"""Rows 9 to 12: what it costs. The allocator alone, processor time, scaling, connections."""
import os
import re
import socket

import machine
from machine import MIB, Unable
from result import Sample, Series, system_note
from rows import row_1, row_2

POLLED = re.compile(r"^  op=\d+, ", re.M)
IDLE_CONNECTIONS = 1000


def row_9(bench):
    """The allocator alone."""
    program = os.path.join(bench.store.build, "tests", "alloc_bench")
    if not os.path.exists(program):
        bench.add(9, "allocator", skipped=f"{program} is not built")
        return
    found = {}
    for _ in range(1 if bench.quick else 3):
        out = machine.run(program, 200000 if bench.quick else 2000000).out
        for full, kind, rate in re.findall(r"([\d.]+) % full, ([a-z ]+?)  +([\d.]+) M pairs/s", out):
            series = found.setdefault((full, kind), Series("ours", "pairs/s"))
            series.add(Sample(float(rate) * 1e6))
    bench.checks.expect(len(found) == 6, "alloc_bench reports six fill levels")
    for (full, kind), series in found.items():
        bench.add(9, f"allocator, {full} % full, {kind}", series, None,
                  10e6 if full == "50.0" else None)


def row_10(bench):
    """Processor time of the server per operation, its io-wq workers included."""
    for row, measure, name, limit in ((1, row_1, "PUT 4 KiB", 18), (2, row_2, "GET 4 KiB", 16)):
        series = bench.once(row, measure)["ours"]
        cpu = series.derived("ours", "us", lambda sample: sample.cpu)
        bench.add(10, f"server CPU per {name}", cpu, None, limit, "<=",
                  note=f"user {series.median_of('user_us'):.1f}, system "
                       f"{series.median_of('system_us'):.1f}; {system_note(series)}")
    series = bench.shared[1]["ours"]

    def beyond(sample):
        """Requests that went to a kernel worker thread beside one flush per window, per window."""
        if sample.more.get("punts") is None:
            return None
        return (sample.more["punts"] - sample.more["flushes"]) / max(sample.more["windows"], 1)
    flushes = series.derived("ours", "", lambda sample: sample.more["flushes_per_window"])
    worker_us = series.derived("ours", "us", lambda sample: sample.more["worker_thread_us"]
                               / sample.more["operations"])
    bench.add(10, "flushes per window of PUTs", flushes, None, 1.05, "<=")
    punts = series.derived("ours", "", beyond)
    if punts.samples:
        bench.add(10, "io-wq requests beside flushes, per window", punts, None, 0.05, "<=",
                  spread_matters=False,
                  note=", ".join(f"{kind} {count}" for kind, count in sorted(
                      series.samples[-1].more["punt_kinds"].items())))
    else:
        bench.add(10, "io-wq requests beside flushes, per window",
                  skipped="tracefs cannot be read here (mount -t tracefs tracefs "
                          "/sys/kernel/tracing)")
    bench.add(10, "io-wq CPU per PUT 4 KiB", worker_us, note="as far as its threads were seen, ten "
              "times a second")


def row_11(bench):
    """Do more workers cost more?"""
    counts = (1, 2, 4)
    put, get = ({count: Series(f"{count} workers") for count in counts} for _ in range(2))
    for _ in range(bench.rounds + 1):
        for count in counts:
            phase = bench.put(start=("--workers", count))
            put[count].add(bench.sample(phase, 1e6 / phase.server_cpu_us_per_op))
    options = bench.read_set()
    for _ in range(bench.rounds + 1):
        for count in counts:
            bench.store.start("--workers", count)
            phase = bench.store.bench("--ops", "get", "--seconds", bench.seconds, *options)["get"]
            get[count].add(bench.sample(phase, 1e6 / phase.server_cpu_us_per_op))
            bench.stop()
    for name, series in (("PUT", put), ("GET", get)):
        for count in counts[1:]:
            series[count].name, series[count].unit = "ours", "/CPU s"
            bench.add(11, f"{name} 4 KiB per server CPU second, {count} workers", series[count],
                      series[1], 0.85, note=system_note(series[count]))


def polls(pid):
    """For each ring of a process how many requests wait for an event, from the kernel's description
    of the ring: an idle connection is one that waits to be received from."""
    found = {}
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            if "io_uring" in os.readlink(f"/proc/{pid}/fd/{fd}"):
                text = machine.read_text(f"/proc/{pid}/fdinfo/{fd}")
                if "PollList:" not in text:
                    raise Unable("the kernel does not show what a ring waits for")
                found[fd] = len(POLLED.findall(text.split("PollList:")[1]))
        except FileNotFoundError:
            continue
    return found


def connect(port, count):
    """Keep-alive connections that have each had one reply."""
    sockets = []
    for _ in range(count):
        sock = socket.create_connection(("127.0.0.1", port), 10)
        sock.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        sockets.append(sock)
    for sock in sockets:
        reply = b""
        while b"alive\n" not in reply:
            part = sock.recv(4096)
            if not part:
                raise Unable("a connection was closed by the server")
            reply += part
    return sockets


def spread_of(bench, workers, count):
    """How many of `count` connections each worker has."""
    bench.store.start("--workers", workers)
    pid = bench.store.process.pid
    idle = polls(pid)
    sockets = connect(bench.store.port, count)

    def counted():
        found = polls(pid)
        found = sorted((found[fd] - idle.get(fd, 0) for fd in found), reverse=True)[:workers]
        return found if sum(found) == count else None
    try:
        return machine.wait_until(counted, f"{count} connections in the rings", 5)
    finally:
        for sock in sockets:
            sock.close()
        bench.stop()


def row_12(bench):
    """Connections: evenly spread, and cheap when idle."""
    if bench.store.content is None:
        bench.new_store()
        bench.stop()
    excess, notes = Series("ours", "above"), []
    for workers in (1, 2, 3, 4):
        try:
            found = spread_of(bench, workers, 16)
        except Unable as reason:
            bench.stop()
            bench.add(12, "16 connections, most of a worker above its share", skipped=str(reason))
            break
        excess.add(Sample(max(found) - 16 / workers, workers=workers, connections=found))
        notes.append(f"{workers} workers: {'+'.join(map(str, found))}")
    else:
        worst = Series("ours", "above its share")
        worst.add(max(excess.samples, key=lambda sample: sample.value))
        bench.add(12, "16 connections, the worker with most", worst, None, 1, "<=",
                  note="; ".join(notes))
    bench.store.start()
    before = machine.rss_anon(bench.store.process.pid)
    sockets = connect(bench.store.port, IDLE_CONNECTIONS)
    after = machine.rss_anon(bench.store.process.pid)
    for sock in sockets:
        sock.close()
    bench.stop()
    cost = Series("ours", "MiB")
    cost.add(Sample((after - before) / MIB, before=before, after=after))
    bench.add(12, f"RssAnon of {IDLE_CONNECTIONS} idle connections", cost, None, 16, "<=",
              note=f"from {before / MIB:.1f} to {after / MIB:.1f} MiB")
