# SPDX-License-Identifier: Apache-2.0
"""Stores that are killed, checked, rebuilt and moved to loop devices, and a client for load.

bbtest.py has the folders, the ports and the list of cases.  A store is a context: what it started,
attached or made is undone when it ends, exactly.
"""
import atexit
import collections
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

from bbtest import MIB, Skip, folder, free_port, program, return_port, short
from bbtest import sha as hash_of

PACE = os.environ.get("BB_PACE", "normal")
KIB = 1 << 10
UNIT = 4096
BLOCK_MAX = MIB

# Exit codes of the programs (bb/err.h) and of bbfsck (fsck(8)).
EXIT_USAGE, EXIT_REFUSED, EXIT_HELD, EXIT_RESOURCE, EXIT_IO = 2, 10, 11, 12, 13
FSCK_CLEAN, FSCK_CORRECTED, FSCK_ERRORS, FSCK_FAILED = 0, 1, 4, 8


def units_of(size):
    return max(1, -(-size // UNIT))


def equal(found, expected, what):
    if found != expected:
        raise AssertionError(f"{what}: {short(found)} instead of {short(expected)}")


def expect(condition, what):
    if not condition:
        raise AssertionError(what)


def seeded(text=None):
    """A generator whose seed is printed and can be given as BB_SEED."""
    seed = int(text if text is not None else os.environ.get("BB_SEED", time.time_ns() % 10**9))
    print(f"seed {seed} (BB_SEED={seed} runs it again)", flush=True)
    return random.Random(seed)


def wait_until(condition, what, seconds=60, step=0.01):
    """Polls until condition() is true and returns its value."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(step)


def wait_quiet(status):
    """Until a store at rest writes nothing more, but for the checkpoint 5 s after the last operation:
    the record without items comes 50 ms after the last one.  status: a function, /status as a dict."""
    seen, since = None, 0.0

    def quiet():
        nonlocal seen, since
        journal, now = status()["journal"], time.monotonic()
        if journal["durable"] != seen or journal["sequence"] != seen:
            seen, since = journal["sequence"], now
        return now - since > 1
    wait_until(quiet, "the record of an idle store", 60, 0.02)


def run(*command, timeout=300, **options):
    """Runs a program to its end: returncode, and what it wrote in stdout and stderr."""
    return subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=timeout, check=False, **options)


def is_root():
    return os.geteuid() == 0


# ---- devices ----

def make_file(path, size):
    with open(path, "wb") as file:
        os.posix_fallocate(file.fileno(), 0, size)
    return path


def memory_has_room(size):
    """Whether /dev/shm takes a file of this size and leaves the machine twice as much."""
    with open("/proc/meminfo", encoding="utf-8") as file:
        available = next(int(line.split()[1]) * KIB for line in file if "MemAvailable" in line)
    try:
        place = os.statvfs("/dev/shm")
    except OSError:
        return False
    return min(available, place.f_bavail * place.f_frsize) > 3 * size


class Loop:
    """A loop device over a file, direct I/O, with sectors of 512 or 4096 bytes."""

    def __init__(self, backing, sector=512):
        if not is_root():
            raise Skip("loop devices need root")
        for _ in range(20):  # others look for a free one in the same moment
            done = run("losetup", "--find", "--show", "--direct-io=on", "--sector-size", sector,
                       backing)
            if done.returncode == 0 or not os.path.exists("/dev/loop-control"):
                break
            time.sleep(0.2)
        if done.returncode != 0:
            raise Skip(f"no loop device here: {done.stderr.strip()}")
        self.path, self.backing = done.stdout.strip(), os.path.realpath(backing)
        atexit.register(self.detach)

    def detach(self):
        if self.path is None:
            return
        name, path, self.path = os.path.basename(self.path), self.path, None
        try:
            with open(f"/sys/block/{name}/loop/backing_file", encoding="utf-8") as file:
                backing = file.read().strip()
        except FileNotFoundError:
            return  # somebody has detached it
        if backing == self.backing:
            run("blockdev", "--setrw", path)  # --setro would stay with the number
            run("losetup", "--detach", path)


def loops_work():
    """Whether loop devices can be attached here."""
    place = folder()
    try:
        Loop(make_file(os.path.join(place, "probe"), MIB)).detach()
    except Skip:
        return False
    return True


# ---- client ----

Reply = collections.namedtuple("Reply", "status headers body")


class Client:
    """One keep-alive connection.  Raises OSError when the server goes away."""

    def __init__(self, port, timeout=60, host="127.0.0.1"):
        self.address, self.timeout = (host, port), timeout
        self.sock, self.rest = None, b""

    def connect(self):
        if self.sock is None:
            self.sock = socket.create_connection(self.address, self.timeout)
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.rest = b""
        return self.sock

    def close(self):
        if self.sock is not None:
            self.sock.close()
            self.sock = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, method, path, body=None, headers=()):
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost"]
        lines += [f"{name}: {value}" for name, value in dict(headers).items()]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        head = ("\r\n".join(lines) + "\r\n\r\n").encode()
        self.connect().sendall(head + (body or b""))

    def receive_more(self):
        part = self.sock.recv(262144)
        if not part:
            raise ConnectionResetError("the server closed the connection")
        return part

    def receive(self, method="GET"):
        data = self.rest
        while (end := data.find(b"\r\n\r\n")) < 0:
            data += self.receive_more()
        lines = data[:end].decode("latin-1").split("\r\n")
        status = int(lines[0].split(" ")[1])
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        length = int(headers.get("content-length", 0))
        if method == "HEAD" or status in (204, 304) or status < 200:
            length = 0
        parts, have = [data[end + 4:]], len(data) - end - 4
        while have < length:
            parts.append(self.receive_more())
            have += len(parts[-1])
        data = b"".join(parts)
        self.rest = data[length:]
        if headers.get("connection", "").lower() == "close":
            self.close()
        return Reply(status, headers, data[:length])

    def request(self, method, path, body=None, headers=()):
        try:
            self.send(method, path, body, headers)
            return self.receive(method)
        except OSError:
            self.close()
            raise

    def put(self, body, name=None, headers=()):
        return self.request("PUT", f"/block/{name}" if name else "/block", body, headers)

    def get(self, name, headers=()):
        return self.request("GET", f"/block/{name}", None, headers)

    def head(self, name, headers=()):
        return self.request("HEAD", f"/block/{name}", None, headers)

    def delete(self, name):
        return self.request("DELETE", f"/block/{name}")

    def missing(self, names):
        body = "".join(name + "\n" for name in names).encode()
        reply = self.request("POST", "/blocks/missing", body)
        equal(reply.status, 200, "POST /blocks/missing")
        return reply.body.decode().split()

    def list(self, limit=1000):
        """All (hash, size), page by page."""
        found, after = [], ""
        while True:
            reply = self.request("GET", f"/blocks?after={after}&limit={limit}")
            equal(reply.status, 200, "GET /blocks")
            lines = [line.split() for line in reply.body.decode().splitlines()]
            found += [(name, int(size)) for name, size in lines]
            link = reply.headers.get("link")
            if link is None:
                return found
            after = link.split("after=")[1][:64]

    def status(self):
        reply = self.request("GET", "/status")
        equal(reply.status, 200, "GET /status")
        return json.loads(reply.body)


# ---- stores ----

class Store:
    """A data and an index device with the daemon on them.

    sector: None for files, else loop devices with sectors of that many bytes.
    options: further options of bbd, kept over restarts.
    in_memory: the files lie in /dev/shm if there is room.  For stores that take a lot of commits or
    bytes: a filesystem with discard takes a minute to remove a GiB that was written.
    """

    def __init__(self, data_size=256 * MIB, index_size=32 * MIB, sector=None, options=(),
                 formatted=True, format_options=(), in_memory=False):
        self.folder, self.process, self.loops, self.port = folder(), None, [], free_port()
        self.memory_folder = None
        atexit.register(self.remove)
        self.run_dir = os.path.join(self.folder, "run")
        self.log = os.path.join(self.folder, "log")
        self.options, self.sector = [str(option) for option in options], sector
        if in_memory and memory_has_room(data_size + index_size):
            self.memory_folder = tempfile.mkdtemp(prefix="bb-e2e-", dir="/dev/shm")
        place = self.memory_folder or self.folder
        self.data_file = make_file(os.path.join(place, "data"), data_size)
        self.index_file = make_file(os.path.join(place, "index"), index_size)
        self.data, self.index = self.device(self.data_file), self.device(self.index_file)
        if formatted:
            self.format(*format_options)

    def device(self, file):
        """The path to give to the programs for a file of this store."""
        if self.sector is None:
            return file
        loop = Loop(file, self.sector)
        self.loops.append(loop)
        return loop.path

    def new_index(self, size, name="index2"):
        """Another, unformatted index device; not used until it is assigned to store.index."""
        return self.device(make_file(os.path.join(self.folder, name), size))

    def format(self, *options):
        done = run(program("bbformat"), *options, self.data, self.index)
        expect(done.returncode == 0, f"bbformat exits with {done.returncode}: {done.stderr}")
        return done

    def command(self, *options):
        return [program("bbd"), "--data", self.data, "--index", self.index, "--listen",
                f"127.0.0.1:{self.port}", "--run-dir", self.run_dir, *self.options,
                *[str(option) for option in options]]

    def launch(self, *options, prefix=()):
        """Starts the daemon and does not wait."""
        expect(self.process is None, "the daemon runs already")
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(  # pylint: disable=consider-using-with
                [*prefix, *self.command(*options)], stdin=subprocess.DEVNULL, stdout=log,
                stderr=log)
        return self

    def start(self, *options, seconds=120, prefix=()):
        self.launch(*options, prefix=prefix)
        return self.wait_ready(seconds)

    def wait_ready(self, seconds=120, path="/readyz"):
        """Until reads and writes are served (or, with another path, until it answers 200)."""
        def ready():
            if self.process.poll() is not None:
                code, self.process = self.process.returncode, None
                raise AssertionError(f"bbd ended with {code}: {self.log_tail()}")
            try:
                with Client(self.port, timeout=5) as client:
                    return client.request("GET", path).status == 200
            except OSError:
                return False
        wait_until(ready, f"{path} of bbd, {self.log_tail()}", seconds, 0.005)
        return self

    def refused(self, *options, seconds=120):
        """Starts the daemon, which has to end by itself: exit code and what it said."""
        done = run(*self.command(*options), timeout=seconds)
        return done.returncode, done.stderr

    def log_tail(self, lines=15):
        try:
            with open(self.log, encoding="utf-8", errors="replace") as file:
                return "".join(file.readlines()[-lines:])
        except FileNotFoundError:
            return ""

    def kill(self):
        """kill -9."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def stop(self, seconds=60):
        """A clean stop; it must exit with 0."""
        self.process.terminate()
        code = self.process.wait(seconds)
        self.process = None
        expect(code == 0, f"bbd stopped with {code}: {self.log_tail()}")

    def restart(self):
        self.stop()
        return self.start()

    def client(self, timeout=60):
        return Client(self.port, timeout)

    def fsck(self, *options, data=None, index=None, timeout=600):
        return run(program("bbfsck"), *options, data or self.data, index or self.index, timeout=timeout)

    def check(self, deep=False):
        """The store (stopped) has to be clean."""
        deep = deep and "--deep" in run(program("bbfsck"), "--help").stdout
        done = self.fsck(*["--deep"] if deep else [])
        expect(done.returncode == FSCK_CLEAN,
               f"bbfsck exits with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done

    def rebuild(self, index=None):
        """Makes a new index, on `index` if given, and goes on with that one."""
        if index is not None:
            self.index = index
        done = self.fsck("--rebuild", "--yes")
        expect(done.returncode == FSCK_CORRECTED,
               f"bbfsck --rebuild exits with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done

    def find(self, body):
        """Byte offset of these bytes on the data device; None when they are not there."""
        step, offset = 16 * MIB, 0
        with open(self.data_file, "rb") as file:
            while True:
                file.seek(offset)
                chunk = file.read(step + len(body))
                at = chunk.find(body)
                if at >= 0:
                    return offset + at
                if len(chunk) < step:
                    return None
                offset += step

    def flip_bit(self, offset, bit=0):
        """Behind the daemon's back."""
        with open(self.data, "r+b", buffering=0) as file:
            file.seek(offset)
            byte = file.read(1)[0]
            file.seek(offset)
            file.write(bytes([byte ^ 1 << bit]))
            os.fsync(file.fileno())

    def bench(self, *options, timeout=600):
        """bbbench, which must find nothing wrong; what it says as a dict per phase."""
        done = run(program("bbbench"), "--url", f"http://127.0.0.1:{self.port}", "--json", *options,
                   timeout=timeout)
        expect(done.returncode == 0,
               f"bbbench exits with {done.returncode}:\n{done.stdout}{done.stderr}")
        return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]

    def remove(self):
        self.kill()
        for loop in self.loops:
            loop.detach()
        shutil.rmtree(self.folder, True)
        if self.memory_folder is not None:
            shutil.rmtree(self.memory_folder, True)
        return_port(self.port)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.remove()


def _end(number, _frame):
    sys.exit(128 + number)


signal.signal(signal.SIGTERM, _end)  # so that a time limit cleans up, too
