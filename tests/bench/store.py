# SPDX-License-Identifier: Apache-2.0
"""Our side: a store on two devices, its daemon, and bbbench against it.

Every run of bbbench and every stop of the daemon is also a check of correctness: a fault, a violation
or an exit code is recorded in `checks` and fails the whole benchmark.
"""
import http.client
import json
import os
import random
import struct
import subprocess
import time

import devices
import machine
from machine import Unable

CONNECTIONS = 64
LMDB_META_OFFSET, LMDB_PAGE_HEAD = 16, 16
LMDB_LEAF, LMDB_SUBDATA = 2, 2


class Checks:
    """Correctness: what was looked at and what was wrong."""

    def __init__(self):
        self.passed, self.failures = 0, []

    def expect(self, good, what, details=""):
        if good:
            self.passed += 1
        else:
            self.failures.append(what)
            print(f"FAILED: {what}\n{details}", flush=True)
        return good


class Phase:
    """What bbbench reports of one phase; the keys of its JSON are attributes."""

    def __init__(self, found, before, after, more):
        self.__dict__.update(found)
        self.server = {key: after[key] - before[key] for key in before} if before else {}
        self.more = more

    def per_request(self, what):
        """A counter of the whole run of bbbench by its requests."""
        return self.per(what, "requests") if what in self.server else None

    def per(self, what, of):
        """Ratio of two of the server's counters over the run."""
        return self.server[what] / self.server[of] if self.server.get(of) else None


class Store:
    """data, index: paths. first_format: options of bbformat until it has been ours once."""

    def __init__(self, build, data, index, folder, checks, first_format=()):
        self.build, self.data, self.index, self.checks = build, data, index, checks
        self.run_dir, self.log = os.path.join(folder, "run"), os.path.join(folder, "bbd.log")
        os.makedirs(self.run_dir, exist_ok=True)
        self.format_options = list(first_format)
        self.port, self.process, self.workers = machine.free_port(), None, None
        self.content = None  # what is stored, as its maker named it; None: anything

    def program(self, name):
        path = os.path.join(self.build, name)
        if not os.path.exists(path):
            raise Unable(f"{path} is not built")
        return path

    def version(self):
        return machine.run(self.program("bbd"), "--version").out.split()[-1]

    # ---- life ----

    def format(self):
        """An empty store. The first time bbformat refuses what it does not know; after that what it
        overwrites is ours."""
        assert self.process is None
        done = machine.run(self.program("bbformat"), *self.format_options, self.data, self.index,
                           check=False)
        if done.code != 0:
            raise machine.Refused((done.err or done.out).strip())
        if "--force" not in self.format_options:
            self.format_options.append("--force")
        self.content = None

    def launch(self, *options, prefix=(), env=None):
        """Starts the daemon and does not wait. Returns the moment."""
        assert self.process is None
        command = [*prefix, self.program("bbd"), "--data", self.data, "--index", self.index,
                   "--listen", f"127.0.0.1:{self.port}", "--run-dir", self.run_dir, *options]
        self.process = machine.start(command, self.log, env)
        return time.monotonic()

    def start(self, *options, prefix=(), env=None, seconds=120):
        self.launch(*options, prefix=prefix, env=env)
        self.wait_ready(seconds)
        self.workers = self.status()["workers"]
        return self

    def wait_ready(self, seconds=120):
        def ready():
            if self.process.poll() is not None:
                code, self.process = self.process.returncode, None
                raise Unable(f"bbd ended with {code}: {self.log_tail()}")
            return self.request("GET", "/readyz")[0] == 200
        machine.wait_until(ready, f"bbd ready; {self.log_tail()}", seconds, 0.005)

    def stop(self):
        """A clean stop."""
        if self.process is not None:
            began = time.monotonic()
            code = machine.end(self.process, 120)
            self.process = None
            self.checks.expect(code == 0, f"bbd stops with 0, not {code}, in "
                               f"{time.monotonic() - began:.1f} s", self.log_tail())

    def kill(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def log_tail(self, lines=8):
        return "\n".join(machine.read_text(self.log).splitlines()[-lines:])

    # ---- asking ----

    def request(self, method, path, timeout=60):
        """Status and body, (0, b"") when nobody answers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(method, path)
            reply = connection.getresponse()
            return reply.status, reply.read()
        except (OSError, http.client.HTTPException):
            return 0, b""
        finally:
            connection.close()

    def status(self):
        code, body = self.request("GET", "/status")
        if code != 200:
            raise Unable(f"/status answers {code}: {self.log_tail()}")
        return json.loads(body)

    def counters(self):
        """What can be counted over a run: windows and flushes, system calls of the rings."""
        status = self.status()
        found = {key: status["journal"][key] for key in ("windows", "window_items", "flushes")}
        found["checkpoints"] = status["delta"]["checkpoints"]
        found.update({key: status["counters"][key] for key in ("sqes", "enters", "requests")})
        found.update(devices.requests_of(self.data))
        return found

    def settle(self, seconds=120):
        """Until nothing is left to do in the background."""
        def idle():
            delta = self.status()["delta"]
            return delta["items"] == 0 and not delta["checkpoint_running"]
        machine.wait_until(idle, "the checkpoint after the last operation", seconds, 0.1)

    # ---- load ----

    def bench_command(self, *options):
        if "--stored" in options:  # never the same reads again: somebody below may have cached them
            options = ("--choices", random.SystemRandom().randrange(1, 1 << 63), *options)
        return [self.program("bbbench"), "--url", f"http://127.0.0.1:{self.port}", "--json",
                "--pid", str(self.process.pid), *[str(option) for option in options]]

    def bench(self, *options, faulty=False, traced=False):
        """Runs bbbench and returns {phase: Phase}. faulty: a canary that has to find violations.
        traced: io-wq requests are counted, which costs every change of threads something."""
        if "--connections" not in options:
            options = ("--connections", CONNECTIONS, *options)
        before = self.counters()
        with machine.Watch(self.process.pid) as watch, \
                machine.Punts(self.process.pid if traced else None) as punts:
            done = machine.run(*self.bench_command(*options), timeout=3600, check=False)
            more = {"punts": punts.count(), "punt_kinds": punts.kinds()}
        more["worker_thread_us"], more["rss_peak"] = watch.worker_us(), watch.peak
        if self.process.poll() is not None:
            code, self.process = self.process.returncode, None
            raise Unable(f"bbd ended with {code} under load: {self.log_tail()}")
        phases = self.phases(done.out, before, self.counters(), more)
        total = phases.get("total")
        words = " ".join(str(option) for option in options)
        if faulty:
            self.checks.expect(done.code == 1 and total and total.violations > 0,
                               f"canary: bbbench {words} finds what is not stored", done.out)
        else:
            self.checks.expect(done.code == 0, f"bbbench {words}", done.out + done.err[-2000:])
        return phases

    @staticmethod
    def phases(text, before, after, more):
        lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
        found = {line["phase"]: Phase(line, before, after, more) for line in lines}
        if len(found) > 2:  # and the totals: what each of them asked of the device is not known
            for phase in found.values():
                phase.server = {key: count for key, count in phase.server.items()
                                if not key.startswith("device_")}
        return found

    def bench_aside(self, *options):
        """Starts bbbench beside another one; give the process to bench_aside_end."""
        return subprocess.Popen(  # pylint: disable=consider-using-with
            self.bench_command(*options), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True)

    def bench_aside_end(self, process):
        out, _ = process.communicate(timeout=600)
        self.checks.expect(process.returncode == 0, "bbbench beside another one", out)
        return self.phases(out, None, None, {})

    # ---- offline ----

    def fsck(self, *options):
        """The stopped store has to be clean (or, with --rebuild, made so). Returns seconds."""
        began = time.monotonic()
        done = machine.run(self.program("bbfsck"), *options, self.data, self.index, check=False)
        seconds = time.monotonic() - began
        good = (0, 1) if "--rebuild" in options else (0,)
        self.checks.expect(done.code in good, f"bbfsck {' '.join(options)} ends with {done.code}",
                           (done.out + done.err)[-2000:])
        return seconds

    def index_bytes_per_record(self):
        """Pages of the tree of blocks per record, out of the newest meta page of LMDB (0.9, 64 bit)."""
        with open(self.index, "rb") as file:
            def page(number, size):
                file.seek(number * size)
                return file.read(size)

            def meta(number, size):
                return struct.unpack_from("<IIQQ 48s48s QQ", page(number, size), LMDB_META_OFFSET)
            size = struct.unpack_from("<I", meta(0, 4096)[4])[0]
            newest = max((meta(0, size), meta(1, size)), key=lambda found: found[7])
            root = page(struct.unpack_from("<40xQ", newest[5])[0], size)
        flags, lower = struct.unpack_from("<10xHH", root)
        if newest[0] != 0xBEEFC0DE or not flags & LMDB_LEAF:
            raise Unable(f"{self.index}: no LMDB whose main database is one page")
        for at in struct.unpack_from(f"<{(lower - LMDB_PAGE_HEAD) // 2}H", root, LMDB_PAGE_HEAD):
            node_flags, key_size = struct.unpack_from("<4xHH", root, at)
            if node_flags & LMDB_SUBDATA and root[at + 8:at + 8 + key_size] == b"block":
                branch, leaf, overflow, entries = struct.unpack_from("<8xQQQQ", root,
                                                                     at + 8 + key_size)
                return (branch + leaf + overflow) * size / max(entries, 1), entries
        raise Unable(f"{self.index}: no database named block")
