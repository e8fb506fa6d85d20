# SPDX-License-Identifier: Apache-2.0
"""Calls that fail at start, one by one, and calls that must not be made later; see scarce.c."""
import hashlib
import mmap
import os
import re
import select
import shutil
import struct
import subprocess
import time

import bbtest
from bbstore import (EXIT_HELD, EXIT_IO, EXIT_REFUSED, EXIT_RESOURCE, KIB, MIB, PACE, Client, Skip,
                     Store, equal, expect, hash_of, run,
                     seeded, wait_quiet, wait_until)

EXIT_FAILURE = 1
DOCUMENTED = (EXIT_FAILURE, EXIT_REFUSED, EXIT_HELD, EXIT_RESOURCE, EXIT_IO)
START_SECONDS = 120
SHIM = os.path.join(bbtest.BUILD, "scarce.so")
CALLERS = 8
LONG_AGO = 10**18  # a time of change that only a write moves


class Board:
    """What scarce.c counts."""

    def __init__(self, place):
        self.path = os.path.join(place, "board")
        with open(self.path, "wb") as file:
            file.write(bytes(4096))
        with open(self.path, "r+b") as file:
            self.map = mmap.mmap(file.fileno(), 4096)

    def clear(self):
        self.map[:] = bytes(4096)

    def _words(self):
        return struct.unpack_from(f"<{4 + CALLERS}Q", self.map)

    def calls(self):
        return self._words()[0]

    def before_write(self):
        """Calls before something was written to a device; None: nothing was."""
        return self._words()[1] - 1 if self._words()[1] else None

    def own(self):
        return self._words()[2]

    def failed(self):
        return self._words()[3]

    def callers(self):
        return [f"{at:#x}" for at in self._words()[4:] if at]

    def name(self):
        return self.map[8 * (4 + CALLERS):][:32].rstrip(b"\0").decode()


def preload(board, number=0, everything=True):
    if not os.path.exists(SHIM):
        raise Skip("scarce.so is not built here")
    environment = {**os.environ, "LD_PRELOAD": SHIM, "SCARCE_BOARD": board.path,
                   "SCARCE_FAIL": str(number)}
    if not everything:  # OpenSSL takes thousands of small pieces
        environment["SCARCE_SKIP"] = "libcrypto"
    return environment


class Start:
    """One start: until it is ready, until it ends, or too long."""

    def __init__(self, store, board, number, everything):
        board.clear()
        self.said, self.code, self.is_ready = "", None, False
        # pylint: disable-next=consider-using-with
        self.process = subprocess.Popen(store.command(), stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                        env=preload(board, number, everything))
        end = time.monotonic() + START_SECONDS
        while not self.is_ready and self.read(end):
            self.is_ready = re.search(r"\bready\b.*\bblocks\b", self.said) is not None
        if not self.is_ready:
            try:
                self.code = self.process.wait(max(0.1, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                pass  # code stays None

    def read(self, end):
        """False at the end of what it says, or of the time."""
        out = self.process.stderr
        if not select.select([out], [], [], max(0, end - time.monotonic()))[0]:
            return False
        part = os.read(out.fileno(), 65536)
        self.said += part.decode()
        return bool(part)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process.stderr.close()


class Stored:
    """A store with some blocks that was stopped, and copies of its devices."""

    def __init__(self, stopped_cleanly):
        self.store = Store(48 * MIB, 16 * MIB, options=["--memory", "24M", "--connections", "64"])
        self.board = Board(self.store.folder)
        plan = seeded()
        self.blocks = [plan.randbytes(size) for size in (0, 1, 4096, 5000, 200 * KIB)]
        self.store.start()
        with self.store.client() as client:
            for block in self.blocks:
                equal(client.put(block).status, 201, "PUT")
        if stopped_cleanly:
            self.store.stop()
        else:
            self.store.kill()
        self.files = (self.store.data_file, self.store.index_file)
        for file in self.files:
            shutil.copy(file, file + ".kept")
        self.digests = [self.digest(file) for file in self.files]
        self.age()

    @staticmethod
    def digest(path):
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() if hasattr(
                hashlib, "file_digest") else hashlib.sha256(file.read()).hexdigest()

    def age(self):
        for file in self.files:
            os.utime(file, ns=(LONG_AGO, LONG_AGO))

    def written(self):
        return any(os.stat(file).st_mtime_ns != LONG_AGO for file in self.files)

    def restore(self):
        for file in self.files:
            shutil.copy(file + ".kept", file)
        self.age()

    def same(self):
        return [self.digest(file) for file in self.files] == self.digests

    def serves(self):
        with Client(self.store.port) as client:
            for block in self.blocks:
                equal(client.get(hash_of(block)).body, block, "GET")


def check_refusal(start, what):
    """It ended by itself, with a sentence and a code that the manual has."""
    said = start.said.strip()
    expect(start.code is not None, f"{what}: neither ready nor ended; it says {said[-400:]!r}")
    expect(start.code in DOCUMENTED, f"{what}: exit code {start.code}; it says {said[-400:]!r}")
    last = said.splitlines()[-1] if said else ""
    expect(re.match(r"bbd: \S+.* \S+", last), f"{what}: no sentence at the end of {said[-400:]!r}")
    expect("assert" not in said.lower(), f"{what}: {said[-400:]!r}")


def fail_one(stored, number, counted, everything):
    """Starts with call `number` failing; True when that was refused, False when it served."""
    total, before_write = counted
    start = Start(stored.store, stored.board, number, everything)
    what = f"call {number} of {total} ({stored.board.name() or 'never made'})"
    try:
        if start.is_ready:
            stored.serves()
            return False
        check_refusal(start, what)
        # in another order of the threads a call has another number
        own = stored.board.before_write()
        before_write = before_write if own is None else min(before_write, own)
        expect(not stored.written() or number > before_write - 4,
               f"{what}: a device was written, it says {start.said!r}")
        return True
    finally:
        start.close()
        if stored.written():
            stored.restore()


def fail_each(stored, everything):
    """Every call, or with everything and not in a long run one in a hundred and forty."""
    board = stored.board
    first = Start(stored.store, board, 0, everything)
    expect(first.is_ready, f"does not start with the shim: {first.said[-400:]}")
    counted = board.calls(), board.before_write()
    expect(board.own() > 0, "the shim does not see what the program allocates")
    expect(counted[1] is not None, "the shim does not see what recovery writes")
    first.close()
    stored.restore()
    step = 140 if everything and PACE != "long" else 1
    kinds = {}
    for number in range(1, counted[0] + 1, step):
        refused = fail_one(stored, number, counted, everything)
        kind = kinds.setdefault(board.name(), [0, 0])
        kind[not refused] += 1
    print(f"{counted[0]} calls until ready, {counted[1]} of them before the first write; refused and "
          "served all the same: " + ", ".join(
              f"{name or 'none'} {kinds[name][0]}+{kinds[name][1]}" for name in sorted(kinds)))
    return kinds


def check_starts(stopped_cleanly):
    stored = Stored(stopped_cleanly)
    refused = ("mmap", "open", "socket", "bind", "eventfd", "pthread_create", "calloc")
    kinds, lacking = {}, refused
    for _ in range(3):  # threads take turns differently each time: one call may get away
        for name, (no, yes) in fail_each(stored, everything=False).items():
            before = kinds.get(name, (0, 0))
            kinds[name] = (before[0] + no, before[1] + yes)
        lacking = [name for name in refused if kinds.get(name, (0,))[0] == 0]
        if not lacking and "io_uring_setup" in kinds:
            break
    expect(not lacking, f"never refused: {lacking} of {kinds}")
    expect("io_uring_setup" in kinds, f"no ring was refused: {kinds}")
    fail_each(stored, everything=True)
    expect(stored.same(), "the devices are not what they were")
    stored.store.start()
    stored.serves()
    stored.store.stop()
    stored.store.check()


@bbtest.case("each call that fails at the start ends it with a sentence, a code and no write")
def calls_at_start():
    check_starts(stopped_cleanly=True)


@bbtest.case("the same for a store that was killed", when="long")
def calls_after_kill():
    check_starts(stopped_cleanly=False)


@bbtest.case("nothing is allocated by our code while blocks are stored, read, listed and deleted")
def no_allocation():
    with Store(256 * MIB, 32 * MIB, options=["--memory", "64M"]) as store:
        board = Board(store.folder)
        preload(board)  # skips where there is no shim
        store.start(prefix=("env", f"LD_PRELOAD={SHIM}", f"SCARCE_BOARD={board.path}"))
        expect(board.own() > 0, "the shim does not see what the program allocates")
        board.clear()
        for size in ("4096", "100-300000"):
            store.bench("--ops", "put,get,head,dup,absent,missing,delete", "--size", size,
                        "--requests", 600, "--connections", 24)
        with store.client() as client:
            block = os.urandom(100000)
            for method, path, body, headers in (
                    ("PUT", "/block", block, {}), ("GET", f"/block/{hash_of(block)}", None, {}),
                    ("GET", f"/block/{hash_of(block)}", None, {"Range": "bytes=5-9"}),
                    ("GET", f"/block/{hash_of(block)}/proof?nonce=" + "ab" * 16, None, {}),
                    ("GET", "/blocks", None, {}), ("GET", "/status", None, {}),
                    ("GET", "/metrics", None, {}), ("GET", "/nothing", None, {}),
                    ("DELETE", f"/block/{hash_of(block)}", None, {})):
                client.request(method, path, body, headers)
        with store.client() as client:  # to ask allocates nothing either
            wait_until(lambda: client.status()["delta"]["items"] == 0, "the checkpoint at rest")
            wait_quiet(client.status)
        found, where = board.own(), ""
        if found:
            where = run("addr2line", "-e", bbtest.program("bbd"), "-fp", *board.callers()).stdout
        expect(found == 0, f"{found} allocations by our own code: {where}")
        expect(board.calls() > 0, "nobody allocated anything: the shim does not count")
        store.stop()
