# SPDX-License-Identifier: Apache-2.0
"""What the end-to-end tests share: a store on files, its daemon, raw HTTP, and a tiny harness.

Programs are taken from BB_BUILD, files live below BB_TMP (else a temporary folder), ports come from
BB_PORT (40 of them) or from 21000 to 22999. Everything started or made here is ended or removed at
the end of the program.
"""

import atexit
import base64
import hashlib
import os
import random
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("BB_BUILD", os.path.join(ROOT, "build", "release"))
MIB = 1 << 20

_folders = []
_daemons = []
_port_lock = threading.Lock()
_ports_given = set()


def sha(data):
    return hashlib.sha256(data).hexdigest()


def program(name):
    """Path of one of our programs."""
    return os.environ.get("BB_" + name.upper(), os.path.join(BUILD, name))


def free_port():
    """A port of 127.0.0.1 that nobody listens on."""
    base = int(os.environ.get("BB_PORT", "0"))
    candidates = list(range(base, base + 40)) if base else list(range(21000, 23000))
    if not base:
        random.shuffle(candidates)
    with _port_lock:
        for port in candidates:
            if port in _ports_given:
                continue
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("127.0.0.1", port))
                except OSError:
                    continue
            _ports_given.add(port)
            return port
    raise RuntimeError("no free port")


def return_port(port):
    """Nobody listens on it any more: it can be given again."""
    with _port_lock:
        _ports_given.discard(port)


def folder():
    """A fresh folder, removed at the end."""
    path = tempfile.mkdtemp(prefix="bb-e2e-", dir=os.environ.get("BB_TMP"))
    _folders.append(path)
    return path


def _clean_up():
    for daemon in _daemons:
        daemon.kill()
    for path in _folders:
        shutil.rmtree(path, ignore_errors=True)


atexit.register(_clean_up)


class Reply:
    """status, fields (list of (lower-case name, value)), body, raw head."""

    def __init__(self, status, fields, body, head):
        self.status = status
        self.fields = fields
        self.body = body
        self.head = head

    def get(self, name):
        values = [value for key, value in self.fields if key == name.lower()]
        return values[0] if values else None

    def count(self, name):
        return sum(1 for key, _ in self.fields if key == name.lower())

    def text(self):
        return self.body.decode("latin-1")


class Closed(Exception):
    """The server closed the connection instead of replying."""


class Raw:
    """One connection, bytes in, replies out."""

    def __init__(self, port, timeout=60, host="127.0.0.1", rcvbuf=None):
        self.sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        if rcvbuf:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        self.sock.settimeout(timeout)
        self.sock.connect((host, port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data if isinstance(data, bytes) else data.encode("latin-1"))

    def _more(self):
        data = self.sock.recv(1 << 18)
        if not data:
            raise Closed(f"closed after {len(self.buffer)} unread bytes")
        self.buffer += data

    def reply(self, method="GET"):
        """The next reply, an interim one (100) too."""
        while b"\r\n\r\n" not in self.buffer:
            self._more()
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        status = int(lines[0].split(" ")[1])
        fields = [(name.lower(), value) for name, value in (line.split(": ", 1) for line in lines[1:])]
        length = next((int(value) for name, value in fields if name == "content-length"), 0)
        if method == "HEAD" or status in (100, 204, 304):
            length = 0
        while len(self.buffer) < length:
            self._more()
        body, self.buffer = self.buffer[:length], self.buffer[length:]
        return Reply(status, fields, body, head)

    def at_end(self):
        """True when the server closes; False when it sends something else or stays silent."""
        try:
            if not self.buffer:
                self._more()
        except (Closed, ConnectionResetError):
            return True
        except socket.timeout:
            return False
        return False

    def silent(self, seconds):
        """True when nothing arrives for so long and the connection stays open."""
        old = self.sock.gettimeout()
        self.sock.settimeout(seconds)
        try:
            self._more()
        except socket.timeout:
            return True
        except (Closed, ConnectionResetError):
            return False
        finally:
            self.sock.settimeout(old)
        return False


def head(method, target, fields=None, version="HTTP/1.1", host="localhost"):
    """Request head; fields is a dict or a list of pairs."""
    pairs = list(fields.items()) if isinstance(fields, dict) else list(fields or [])
    if host is not None:
        pairs.insert(0, ("Host", host))
    lines = [f"{method} {target} {version}"] + [f"{name}: {value}" for name, value in pairs]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def request(method, target, fields=None, body=None, **kwargs):
    """Request with a body of known length."""
    pairs = list(fields.items()) if isinstance(fields, dict) else list(fields or [])
    if body is not None:
        pairs.append(("Content-Length", str(len(body))))
    return head(method, target, pairs, **kwargs) + (body or b"")


class Daemon:
    """bbd on a store, with helpers to talk to it."""

    def __init__(self, store, args, wait, env):
        self.store = store
        self.port = free_port()
        self.log_path = os.path.join(store.path, f"bbd-{len(_daemons)}.log")  # ports come again
        command = [program("bbd"), "--data", store.data, "--index", store.index]
        command += ["--listen", f"127.0.0.1:{self.port}", "--run-dir", store.path] + list(args)
        with open(self.log_path, "ab") as log:
            # Python ignores SIGXFSZ; keeping it so, writes behind RLIMIT_FSIZE fail as on a bad device
            # pylint: disable-next=consider-using-with
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, restore_signals=False,
                env={**os.environ, **(env or {})},
            )
        _daemons.append(self)
        if wait:
            self.wait_ready()

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def wait_ready(self, seconds=120):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise RuntimeError(f"bbd ended with {self.process.returncode}:\n{self.log()}")
            try:
                if self.ask("GET", "/readyz").status == 200:
                    return
            except (OSError, Closed):
                pass
            time.sleep(0.02)
        raise RuntimeError(f"bbd is not ready after {seconds} s:\n{self.log()}")

    def connect(self, **kwargs):
        return Raw(self.port, **kwargs)

    def ask(self, method, target, fields=None, body=None, **kwargs):
        """One request on a connection of its own."""
        with self.connect() as raw:
            raw.send(request(method, target, fields, body, **kwargs))
            return raw.reply(method)

    def put(self, data):
        """Stores a block; its name."""
        reply = self.ask("PUT", "/block", body=data)
        assert reply.status in (200, 201), f"PUT: {reply.status} {reply.text()}"
        return reply.text().strip()

    def get(self, name):
        """The block's bytes, None when absent."""
        reply = self.ask("GET", "/block/" + name)
        if reply.status == 404:
            return None
        assert reply.status == 200, f"GET: {reply.status} {reply.text()}"
        return reply.body

    def delete(self, name):
        return self.ask("DELETE", "/block/" + name).status

    def names(self):
        """All blocks by walking the list."""
        names, target = [], "/blocks"
        while target:
            reply = self.ask("GET", target)
            assert reply.status == 200, reply.text()
            names += [line.split(" ")[0] for line in reply.text().splitlines()]
            link = reply.get("link")
            target = link[1 : link.index(">")] if link else None
        return names

    def stop(self, seconds=60):
        """SIGTERM; the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(seconds)
        return_port(self.port)
        return code

    def fail_writes(self, offset):
        """From here on writes at and behind a byte offset of any file fail."""
        limit = (resource.RLIM_INFINITY if offset is None else offset, resource.RLIM_INFINITY)
        resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, limit)

    def kill(self):
        """SIGKILL."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        return_port(self.port)


class Store:
    """A pair of files, formatted."""

    def __init__(self, data_size=256 * MIB, index_size=64 * MIB, format_args=()):
        self.path = folder()
        self.data = os.path.join(self.path, "data")
        self.index = os.path.join(self.path, "index")
        for name, size in ((self.data, data_size), (self.index, index_size)):
            with open(name, "wb") as file:
                os.posix_fallocate(file.fileno(), 0, size)
        self.format(format_args)

    def format(self, args=()):
        command = [program("bbformat"), *args, self.data, self.index]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"bbformat: {done.returncode} {done.stderr.decode()}")

    def start(self, *args, wait=True, env=None):
        return Daemon(self, args, wait, env)

    def find(self, data):
        """Byte offset of some bytes on the data device."""
        with open(self.data, "rb") as file:
            step, overlap, offset = 16 * MIB, len(data), 0
            while True:
                file.seek(offset)
                chunk = file.read(step + overlap)
                if not chunk:
                    return None
                at = chunk.find(data)
                if at >= 0:
                    return offset + at
                offset += step

    def poke(self, offset, data):
        """Writes behind the daemon's back."""
        with open(self.data, "r+b") as file:
            file.seek(offset)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())


def digest_field(data):
    return "sha-256=:" + base64.b64encode(hashlib.sha256(data).digest()).decode() + ":"


def chunked(data, size=1000, extension="", trailer=b""):
    """data as a chunked body."""
    out = b""
    for at in range(0, len(data), size):
        piece = data[at : at + size]
        out += f"{len(piece):x}{extension}\r\n".encode() + piece + b"\r\n"
    return out + b"0\r\n" + trailer + b"\r\n"


# ---- harness ----

_cases = []


class Skip(Exception):
    """Raised by a case that cannot run here; its text says why."""


def case(sentence, when="normal", waits=False):
    """Marks a test; its name is a sentence. when: quick (always), normal, long. waits: it mostly
    waits for deadlines, so it runs beside the others."""

    def mark(function):
        _cases.append((sentence, when, waits, function))
        return function

    return mark


def short(value):
    text = repr(value)
    return text if len(text) <= 300 else f"{text[:200]} ... {text[-80:]}"


def expect(found, wanted, what="value"):
    assert found == wanted, f"{what}: {short(found)} instead of {short(wanted)}"


class _Result:
    """One case and how it went: "passed", "failed" or "skipped"."""

    def __init__(self, sentence, function, arguments):
        self.sentence, self.function, self.arguments = sentence, function, arguments
        self.outcome = "failed"

    def run(self):
        began = time.monotonic()
        try:
            self.function(*self.arguments)
        except Skip as why:
            self.outcome = "skipped"
            print(f"SKIPPED {self.sentence}: {why}", flush=True)
        except Exception:  # pylint: disable=broad-except
            trace = traceback.format_exc().strip().replace("\n", "\n       ")
            print(f"FAILED {self.sentence}\n       {trace}", flush=True)
        else:
            self.outcome = "passed"
            took = time.monotonic() - began
            print(f"ok     {self.sentence}" + (f" ({took:.1f} s)" if took > 1 else ""), flush=True)


def run_cases(*arguments):
    """Runs all cases with the arguments; prints a line for each and the sum; the exit code. Words
    on the command line choose the cases whose sentence contains one of them."""
    pace = os.environ.get("BB_PACE", "normal")
    rank = {"quick": 0, "normal": 1, "long": 2}
    only = sys.argv[1:]
    results, threads = [], []
    for sentence, when, waits, function in sorted(_cases, key=lambda entry: not entry[2]):
        if only and not any(word in sentence for word in only):
            continue
        if rank[when] > rank[pace]:
            continue  # another run's: neither passed nor skipped in this one
        results.append(_Result(sentence, function, arguments))
        if waits:
            threads.append(threading.Thread(target=results[-1].run))
            threads[-1].start()
        else:
            results[-1].run()
    for thread in threads:
        thread.join()
    outcomes = [result.outcome for result in results]
    passed, failed = outcomes.count("passed"), outcomes.count("failed")
    skipped = outcomes.count("skipped")
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    if passed + failed == 0 and (skipped or not only):
        return 77
    return 1 if failed or not passed else 0
