#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""kill -9 at each kill point of include/bb/plant.h.

    kills.py [PATTERN]     only the points that match; the programs of BB_BUILD, else of build/plants

Per point: a store with some blocks, load by clients whose outcomes are known, and a daemon that dies
at the point, by load, by a clean stop, or while it starts after a kill.  Then an ordinary start, every
block is read back, and bbfsck finds nothing.  A point that is never passed is a failure.
"""
import concurrent.futures
import fnmatch
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
os.environ.setdefault("BB_BUILD", os.path.join(ROOT, "build", "plants"))
sys.path.insert(0, os.path.join(ROOT, "tests", "e2e"))
from bbstore import MIB, Store, hash_of  # noqa: E402

CLIENTS = 4
LOAD_SECONDS = 1.0
DEATH_SECONDS = 20
# Commits of a running store; later passages lie in the middle of the load.
OFTEN = {"DATA_WRITTEN", "ITEM_APPENDED", "RECORD_SUBMITTED", "RECORD_WRITTEN", "RECORD_FLUSHED",
         "REPLIED"}
# How often it is passed while one thing happens: each of them is a kill of its own.
PASSAGES = {"SUPER_SUBMITTED": 2, "SUPER_FLUSHED": 2, "EPOCH_COPY_WRITTEN": 4,
            "EPOCH_PAIR_FLUSHED": 2, "ZONE_SUBMITTED": 2, "START_FOLDED": 2}


def points_of_header():
    with open(os.path.join(ROOT, "include/bb/plant.h"), encoding="utf-8") as file:
        text = file.read()
    return re.findall(r'^    x\((\w+), "', text[text.index("#define BB_KILL_POINTS"):], re.M)


def kills(points):
    """NAME:n of every kill."""
    for point in points:
        if point in OFTEN:
            yield f"{point}:{random.Random(point).randint(20, 80)}"
        else:
            for n in range(1, PASSAGES.get(point, 1) + 1):
                yield f"{point}:{n}"


class Client(threading.Thread):
    """Blocks of its own, so that what each has to be is known: True, False, or None after a kill."""

    def __init__(self, store, number):
        super().__init__(daemon=True)
        self.store, self.random, self.blocks, self.faults = store, random.Random(number), {}, []
        self.stop = False

    def operate(self, http):
        present = [name for name, (_, state) in self.blocks.items() if state]
        if len(present) > 60 or (len(present) > 20 and self.random.random() < 0.4):
            name = self.random.choice(present)
            body = self.blocks[name][0]
            self.blocks[name] = (body, None)
            status, good = http.delete(name).status, {204: False}
        else:
            body = self.random.randbytes(self.random.choice([8, 4096, 9000, 70000]))
            name = hash_of(body)
            self.blocks[name] = (body, None)
            status, good = http.put(body).status, {201: True}
        if status in good:
            self.blocks[name] = (body, good[status])
        elif status != 503:
            self.faults.append(f"{status} for {name}")

    def run(self):
        try:
            with self.store.client() as http:
                while not self.stop:
                    self.operate(http)
        except OSError:
            pass

    def verify(self):
        with self.store.client() as http:
            for name, (body, state) in self.blocks.items():
                reply = http.get(name)
                found = {200: True, 404: False}.get(reply.status)
                if found is None or state not in (None, found):
                    self.faults.append(f"GET of {name} says {reply.status}, it was {state}")
                elif found and reply.body != body:
                    self.faults.append(f"GET of {name} gives other bytes")
                self.blocks[name] = (body, found)


def launch(store, kill):
    """bbd is started with the kill point armed."""
    store.launch(prefix=["env", f"BB_KILL_POINT={kill}"] if kill else ())


def died(store, seconds):
    """Whether it died by SIGKILL within that time."""
    try:
        code = store.process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    store.process = None
    if code != -signal.SIGKILL:
        raise AssertionError(f"bbd ended with {code}: {store.log_tail()}")
    return True


def load(store, clients, seconds):
    """Clients work until the daemon is gone, at most so long."""
    for client in clients:
        client.stop = False
        client.start()
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and store.process.poll() is None:
        time.sleep(0.01)
    for client in clients:
        client.stop = True
    for client in clients:
        client.join(30)
        if client.is_alive():
            raise AssertionError("a client hangs")


def successors(clients):
    """Threads run once; the oracle goes on."""
    following = []
    for number, client in enumerate(clients):
        following.append(Client(client.store, number))
        following[-1].__dict__.update(blocks=client.blocks, faults=client.faults,
                                      random=client.random)
    return following


def die_at(store, kill):
    """The clients that know what must be there."""
    clients = [Client(store, number) for number in range(CLIENTS)]
    if not kill.startswith(("START_", "EPOCH_", "ZONE_", "SUPER_")):
        store.start()  # the first zone is opened and blocks are there
        load(store, clients, 0.2)
        store.stop()
        clients = successors(clients)
        launch(store, kill)
        store.wait_ready()
        load(store, clients, LOAD_SECONDS)
        if died(store, 0.1):
            return clients
        store.process.send_signal(signal.SIGTERM)  # the rest is passed by a clean stop
    elif kill.startswith(("START_", "EPOCH_")):
        store.start()
        load(store, clients, 0.3)
        store.kill()  # so that the next start has something to do
        launch(store, kill)
    else:
        launch(store, kill)  # a fresh store opens its first zone
    if not died(store, DEATH_SECONDS):
        store.kill()
        raise AssertionError("the kill point was not passed")
    return clients


def check(store, clients, lie=False):
    store.start()
    for client in clients:
        client.verify()
    faults = [fault for client in clients for fault in client.faults]
    if faults:
        raise AssertionError(f"{len(faults)} faults, the first: {faults[:3]}")
    if lie:  # the canary: an oracle that is told wrong has to be noticed
        client = next(client for client in clients if client.blocks)
        name, (body, state) = next(iter(client.blocks.items()))
        client.blocks[name] = (body, not state)
        client.verify()
        if len(client.faults) != 1:
            raise AssertionError("the lie about a block was not seen")
        client.blocks[name], client.faults = (body, state), []
    clients = successors(clients)
    load(store, clients, 0.1)  # it also goes on
    store.stop()
    store.check()


def survives(kill):
    started = time.monotonic()
    try:
        with Store(96 * MIB, 16 * MIB, options=["--memory", "64M"], in_memory=True) as store:
            check(store, die_at(store, kill), lie=kill.startswith("REPLIED"))
        fault = None
    except AssertionError as error:
        fault = error
    print(f"{'FAILED' if fault else 'ok':8} {time.monotonic() - started:5.1f} s  killed at {kill}"
          f"{f': {fault}' if fault else ''}", flush=True)
    return fault is None


def main():
    pattern = sys.argv[1] if len(sys.argv) > 1 else "*"
    points = [point for point in points_of_header() if fnmatch.fnmatch(point, pattern)]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(survives, kills(points)))
    print(f"{outcomes.count(True)} passed, {outcomes.count(False)} failed")
    return 0 if outcomes and all(outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
