# SPDX-License-Identifier: Apache-2.0
"""Fewer descriptors, less locked memory and less memory than the daemon would like."""
import os
import resource
import socket
import time

import bbtest
from bbgroup import Group
from bbstore import EXIT_RESOURCE, KIB, MIB, Client, Store, equal, expect, hash_of, is_root

TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def limited(kind, value):
    """Command that starts another one with a limit of a kind: -n descriptors, -l locked KiB."""
    return ("/bin/sh", "-c", f'ulimit -{kind} {value} && exec "$@"', "sh")


def connect(store):
    sock = socket.socket()
    sock.setblocking(False)
    sock.connect_ex(("127.0.0.1", store.port))
    return sock


@bbtest.case("with 64 descriptors and 1,000 connects nothing spins and those connected go on")
def descriptors():
    with Store(64 * MIB, 16 * MIB, options=["--memory", "24M"]) as store:
        store.start(prefix=limited("n", 64))
        pid, good = store.process.pid, [Client(store.port) for _ in range(8)]
        block = os.urandom(4096)
        for client in good:
            expect(client.put(block).status in (200, 201), "PUT")
        sockets = [client.sock for client in good]
        waiting = [connect(store) for _ in range(1000)]
        began, spent, worst, rounds = time.monotonic(), cpu_seconds(pid), 0.0, 0
        while time.monotonic() < began + 3:
            for client in good:
                asked = time.monotonic()
                equal(client.get(hash_of(block)).body, block, "GET beside 1,000 connects")
                worst = max(worst, time.monotonic() - asked)
            rounds += 1
            time.sleep(0.05)
        spent = cpu_seconds(pid) - spent
        print(f"{rounds} rounds, slowest GET {worst * 1000:.0f} ms, {spent:.2f} s of CPU in 3 s")
        equal([client.sock for client in good], sockets, "connections of those that were there")
        expect(spent < 1, f"{spent:.1f} s of CPU in 3 s while there is nothing to do")
        expect(worst < 2, f"a GET took {worst:.1f} s")
        for sock in waiting:
            sock.close()
        for number in range(20):  # descriptors have come back
            with store.client(timeout=10) as client:
                equal(client.get(hash_of(block)).status, 200, f"GET of newcomer {number}")
        for client in good:
            equal(client.get(hash_of(block)).body, block, "GET afterwards")
            client.close()
        store.stop()


@bbtest.case("new connections are served while descriptors are short")
def descriptors_shared():
    with Store(64 * MIB, 16 * MIB, options=["--memory", "24M"]) as store:
        store.start(prefix=limited("n", 64))
        idle = [connect(store) for _ in range(200)]  # which never say a word
        began = time.monotonic()
        for number in range(3):
            with store.client(timeout=30) as client:
                equal(client.request("GET", "/livez").status, 200, f"newcomer {number}")
        print(f"three newcomers took {time.monotonic() - began:.1f} s")
        for sock in idle:
            sock.close()
        store.stop()


def works(store):
    small, large = os.urandom(5000), os.urandom(MIB)
    with store.client() as client:
        for block in (small, large):
            equal(client.put(block).status, 201, "PUT")
            equal(client.get(hash_of(block)).body, block, "GET")
    store.bench("--ops", "put,get", "--size", 4096, "--requests", 2000, "--connections", 32)


@bbtest.case("with little or no locked memory it serves or says what to raise")
def locked_memory():
    for kib in (64, 1024, 0):
        # limits of locked memory do not hold for CAP_IPC_LOCK
        prefix = limited("l", kib)
        if is_root():
            prefix = (*prefix, "setpriv", "--bounding-set", "-ipc_lock", "--inh-caps", "-ipc_lock")
        with Store(64 * MIB, 16 * MIB, options=["--memory", "24M"]) as store:
            store.launch(prefix=prefix)
            try:
                store.wait_ready(20)
            except AssertionError:
                expect(store.process is None, f"neither ready nor ended: {store.log_tail()}")
                expect("LimitMEMLOCK" in store.log_tail(), store.log_tail())
                print(f"{kib} KiB: refused")
                continue
            works(store)
            said = "served, " + ("the buffers are not registered"
                                 if "RLIMIT_MEMLOCK" in store.log_tail(30) else "all registered")
            print(f"{kib} KiB: {said}")
            store.stop()


@bbtest.case("in a control group that has just enough memory it stays alive under load")
def full_group():
    with Group(80 * MIB) as group:
        with Store(512 * MIB, 32 * MIB, options=["--memory", "64M"]) as store:
            store.start(prefix=group.prefix())
            pid = store.process.pid
            for size, count, connections in ((4096, 20000, 256), (MIB, 200, 64), ("1-100K", 3000, 64)):
                store.bench("--ops", "put,get,delete", "--size", size, "--requests", count,
                            "--connections", connections)
            expect(store.process.poll() is None and store.process.pid == pid, "bbd was ended")
            group.no_one_was_killed()
            store.stop()
            store.check()


@bbtest.case("a control group that is too small for the memory is refused with a sentence")
def small_group():
    with Group(48 * MIB) as group:
        with Store(64 * MIB, 16 * MIB, options=["--memory", "64M"]) as store:
            store.launch(prefix=group.prefix())
            equal(store.process.wait(20), EXIT_RESOURCE, "exit code")
            store.process = None
            expect("control group" in store.log_tail(), store.log_tail())
        with Store(64 * MIB, 16 * MIB, options=["--connections", "64"]) as store:
            store.start(prefix=group.prefix())  # by itself it takes what the group has
            expect("24 MiB" in store.log_tail(30), store.log_tail(30))
            with store.client() as client:
                equal(client.put(os.urandom(200 * KIB)).status, 201, "PUT")
            store.stop()


@bbtest.case("a limit of descriptors is raised as far as it goes")
def descriptors_raised():
    with Store(64 * MIB, 16 * MIB, options=["--memory", "24M", "--connections", "200"]) as store:
        store.start(prefix=("/bin/sh", "-c", 'ulimit -S -n 64 && exec "$@"', "sh"))
        equal(resource.prlimit(store.process.pid, resource.RLIMIT_NOFILE)[0] >= 456, True,
              "descriptors for 200 connections")
        store.stop()
