# SPDX-License-Identifier: Apache-2.0
"""The machine that is measured on: programs, ports, memory cgroups, processor time.

Whatever is started, attached or made here is registered with at_exit() and undone, exactly and in
reverse order, also after an exception.
"""
import collections
import glob
import os
import re
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
TICK_US = 1000000 // os.sysconf("SC_CLK_TCK")


class Unable(Exception):
    """Something cannot be measured here; the text says why."""


class Refused(Exception):
    """A device or an option that will not do; the text says why and what would."""


# ---- undoing ----

_undo = []


def at_exit(function, *arguments):
    _undo.append((function, arguments))


def undo_all(down_to=0):
    while len(_undo) > down_to:
        function, arguments = _undo.pop()
        try:
            function(*arguments)
        except Exception as error:  # pylint: disable=broad-except  # the others have to be undone
            print(f"cleaning up: {error}", file=sys.stderr)


def undo_mark():
    return len(_undo)


# ---- programs ----

def find_program(*names):
    """Path of the first that is installed, /usr/sbin included, or None."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin:/usr/local/sbin"
    return next((found for name in names if (found := shutil.which(name, path=path))), None)


def need_program(name, package):
    found = find_program(name)
    if not found:
        raise Unable(f"{name} is not installed (apt-get install {package})")
    return found


class Done:
    """How a program ended: code, out, err, and cpu_us, its processor time with its children."""

    def __init__(self, code, out, err, cpu_us):
        self.code, self.out, self.err, self.cpu_us = code, out, err, cpu_us


def run(*command, timeout=600, check=True, env=None):
    """Runs a program to its end. Alone: the processor time is what all ended children used."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, errors="replace", timeout=timeout,
                          check=False, env=env)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    if check and done.returncode != 0:
        raise Unable(f"{os.path.basename(str(command[0]))} ended with {done.returncode}: "
                     f"{(done.stderr or done.stdout).strip()[-400:]}")
    return Done(done.returncode, done.stdout, done.stderr, cpu * 1e6)


def start(command, log, env=None):
    """A process in the background, ended at the latest at exit."""
    with open(log, "ab") as out:
        process = subprocess.Popen(  # pylint: disable=consider-using-with
            [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=out, stderr=out,
            env=env)
    at_exit(end, process)
    return process


def end(process, seconds=30):
    """SIGTERM, after a while SIGKILL; returns the exit code."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
    return process.wait()


def wait_until(condition, what, seconds=60, step=0.01):
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Unable(f"not within {seconds} s: {what}")
        time.sleep(step)


def read_text(path, default=""):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return default


def write_text(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


# ---- ports and folders ----

_ports = set()


def free_port():
    """A port that nobody listens on: from BB_PORT on, or between 22000 and 22999."""
    base = int(os.environ.get("BB_PORT", "0"))
    for port in range(base, base + 20) if base else range(22000, 23000):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in _ports:
            _ports.add(port)
            return port
    raise Unable("no free port")


def port_answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), 10).close()
        return True
    except OSError:
        return False


def new_folder(base, name):
    path = tempfile.mkdtemp(prefix=f"bb-bench-{name}-", dir=base)
    at_exit(shutil.rmtree, path, True)
    os.chmod(path, 0o755)
    return path


# ---- processor time ----

def cpu_of(pids):
    """Microseconds that processes have used, io-wq workers and other threads included."""
    total = 0
    for pid in pids:
        text = read_text(f"/proc/{pid}/stat")
        if text:
            fields = text[text.rindex(")") + 2:].split()
            total += int(fields[11]) + int(fields[12])
    return total * TICK_US


def children_of(pid):
    """Processes whose parent it is."""
    found = []
    for path in glob.glob("/proc/[0-9]*/stat"):
        text = read_text(path)
        if text and int(text[text.rindex(")") + 2:].split()[1]) == pid:
            found.append(int(path.split("/")[2]))
    return found


def busy_us():
    """Processor time that anything on this machine has used, idle and waiting apart."""
    user, nice, system, _, _, irq, softirq = map(int, read_text("/proc/stat").split()[1:8])
    return (user + nice + system + irq + softirq) * TICK_US


def rss_anon(pid):
    found = re.search(r"^RssAnon:\s+(\d+) kB", read_text(f"/proc/{pid}/status"), re.M)
    return int(found.group(1)) * KIB if found else 0


class Watch(threading.Thread):
    """Looks at a process ten times a second: the processor time of its io-wq workers (which end when
    they idle, so it adds up what it saw) and the peak of its anonymous memory."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.stopped = pid, threading.Event()
        self.seen, self.base, self.peak = {}, {}, 0

    def look(self):
        for folder in glob.glob(f"/proc/{self.pid}/task/*"):
            if read_text(f"{folder}/comm").startswith("iou-wrk"):
                used = read_text(f"{folder}/schedstat").split()  # nanoseconds on a processor first
                self.seen[folder] = int(used[0]) if used else 0
        self.peak = max(self.peak, rss_anon(self.pid))

    def run(self):
        while not self.stopped.wait(0.1):
            self.look()

    def __enter__(self):
        self.look()
        self.base = dict(self.seen)
        self.start()
        return self

    def __exit__(self, *_):
        self.look()
        self.stopped.set()
        self.join()

    def worker_us(self):
        return sum(used - self.base.get(path, 0) for path, used in self.seen.items()) / 1e3


def tracing_folder():
    """Where tracefs is mounted, by us for a while if nobody has; None where it cannot be had."""
    for line in read_text("/proc/mounts").splitlines():
        if line.split()[2] == "tracefs":
            return line.split()[1]
    path = new_folder(None, "trace")
    if not find_program("mount") or run("mount", "-t", "tracefs", "tracefs", path, check=False).code:
        return None
    at_exit(run, "umount", path)
    return path


class Trace:
    """A buffer of its own for events of the kernel, where tracefs can be had; else `folder` is None."""

    def __init__(self, events, wanted=True):
        self.events, self.wanted, self.folder = events, wanted, None

    def prepare(self):
        """Before the events are switched on."""

    def __enter__(self):
        root = tracing_folder() if self.wanted else None
        if root and all(os.path.exists(f"{root}/events/{event}/enable") for event in self.events):
            folder = f"{root}/instances/bb-bench-{os.getpid()}-{type(self).__name__.lower()}"
            try:
                os.mkdir(folder)
                self.folder = folder
                self.prepare()
                for event in self.events:
                    write_text(f"{folder}/events/{event}/enable", "1")
            except OSError:
                self.__exit__()
        return self

    def text(self):
        return read_text(f"{self.folder}/trace") if self.folder else ""

    def __exit__(self, *_):
        if self.folder is not None:
            os.rmdir(self.folder)
            self.folder = None


class Punts(Trace):
    """Counts requests of a process that io_uring hands to its worker threads. pid None: counts
    nothing."""

    def __init__(self, pid):
        super().__init__(["io_uring/io_uring_queue_async_work"], pid is not None)
        self.pid = pid

    def prepare(self):
        write_text(f"{self.folder}/set_event_pid", " ".join(os.listdir(f"/proc/{self.pid}/task")))

    def count(self):
        """None where it cannot be counted."""
        if self.folder is None:
            return None
        total = 0
        for path in glob.glob(f"{self.folder}/per_cpu/cpu*/stats"):
            for word in ("entries", "overrun", "dropped events"):
                found = re.search(rf"^{word}: (\d+)", read_text(path), re.M)
                total += int(found.group(1)) if found else 0
        return total

    def kinds(self):
        """Which requests they were, of the last that the buffer holds: {"FSYNC": 100}."""
        return dict(collections.Counter(re.findall(r"opcode (\w+)", self.text())))


class DiskTail(Trace):
    """How long a disk takes for what it is given, from the block layer's point of view: below bbd and
    io_uring. disk: its device number."""

    LINE = re.compile(r" (\d+\.\d+): block_rq_(issue|complete): \d+,\d+ (\w)\S* .*?\) (\d+) \+ ")

    def __init__(self, disk):
        super().__init__(["block/block_rq_issue", "block/block_rq_complete"])
        self.disk = disk

    def prepare(self):
        write_text(f"{self.folder}/buffer_size_kb", "16384")
        number = os.major(self.disk) << 20 | os.minor(self.disk)
        for event in self.events:
            write_text(f"{self.folder}/events/{event}/filter", f"dev == {number}")

    def longest_ms(self, seconds):
        """The longest of the reads and writes that ended in the last `seconds`: what came while it lasted
        waited as long. None where it cannot be seen."""
        began, took = {}, []
        for when, what, kind, sector in self.LINE.findall(self.text()):
            if kind not in "RW":
                continue
            if what == "issue":
                began[kind, sector] = float(when)
            elif (kind, sector) in began:
                took.append((float(when), float(when) - began.pop((kind, sector))))
        if not took:
            return None
        end = max(when for when, _ in took)
        return max(time for when, time in took if when > end - seconds) * 1e3


def memory_available():
    found = re.search(r"^MemAvailable:\s+(\d+) kB", read_text("/proc/meminfo"), re.M)
    return int(found.group(1)) * KIB if found else 0


# ---- memory cgroups ----

class Cgroup:
    """A memory limit for the processes that are started through prefix(); version 1 or 2."""

    def __init__(self, limit):
        self.path, self.version = self.make()
        at_exit(self.remove)
        self.limit(limit)
        if self.version == 2 and os.path.exists(f"{self.path}/memory.swap.max"):
            write_text(f"{self.path}/memory.swap.max", "0")

    def limit(self, size):
        """Sets it anew; what is above it is taken from the page cache at once."""
        name = "memory.max" if self.version == 2 else "memory.limit_in_bytes"
        try:
            write_text(f"{self.path}/{name}", str(size))
        except OSError as error:
            raise Unable(f"memory cgroup: {error}") from error

    def used(self):
        name = "memory.current" if self.version == 2 else "memory.usage_in_bytes"
        return int(read_text(f"{self.path}/{name}", "0"))

    def cached(self):
        """Bytes of the page cache."""
        name = "file" if self.version == 2 else "total_cache"
        found = re.search(rf"^{name} (\d+)", read_text(f"{self.path}/memory.stat"), re.M)
        return int(found.group(1)) if found else 0

    @staticmethod
    def base():
        for line in read_text("/proc/mounts").splitlines():
            _, where, kind, options = line.split()[:4]
            if kind == "cgroup" and "memory" in options.split(","):
                return where, 1
            if kind == "cgroup2" and "memory" in read_text(where + "/cgroup.controllers").split():
                if "memory" not in read_text(where + "/cgroup.subtree_control").split():
                    try:
                        write_text(where + "/cgroup.subtree_control", "+memory")
                    except OSError:
                        continue
                return where, 2
        raise Unable("no memory cgroup can be made here (root and the memory controller are needed)")

    def make(self):
        where, version = self.base()
        path = f"{where}/bb-bench-{os.getpid()}-{time.monotonic_ns()}"
        try:
            os.mkdir(path)
        except OSError as error:
            raise Unable(f"memory cgroup: {error}") from error
        return path, version

    def prefix(self):
        return ["sh", "-c", 'echo $$ > "$0/cgroup.procs" && exec "$@"', self.path]

    def killed(self):
        """How often the kernel killed a process for its limit."""
        name = "memory.events" if self.version == 2 else "memory.oom_control"
        found = re.search(r"^oom_kill (\d+)", read_text(f"{self.path}/{name}"), re.M)
        return int(found.group(1)) if found else 0

    def remove(self):
        if os.path.isdir(self.path):
            wait_until(lambda: not read_text(f"{self.path}/cgroup.procs"), "empty cgroup", 60)
            os.rmdir(self.path)
