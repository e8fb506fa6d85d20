# SPDX-License-Identifier: Apache-2.0
"""Start and stop: options, exit codes, draining, restarts, readiness."""

import json
import os
import signal
import socket
import subprocess
import tempfile
import threading
import time

from bbstore import wait_quiet, wait_until
from bbtest import case, expect, head, program, request, sha, Closed, Store, MIB


def run_bbd(*args, env=None):
    done = subprocess.run([program("bbd"), *args], capture_output=True, check=False, timeout=30,
                          env={**os.environ, **(env or {})})
    return done.returncode, done.stderr.decode()


@case("wrong options end with 2 and a sentence", "quick")
def options(_):
    pair = ("--data", "/nonexistent/data", "--index", "/nonexistent/index")
    for args, word in (((), "--data"), (("--data", "x"), "--index"), (pair + ("--listen", "nowhere"), "ADDR:PORT"),
                       (pair + ("--listen", "localhost:1"), "numeric"), (pair + ("--workers", "0"), "--workers"),
                       (pair + ("--memory", "1M"), "24 MiB"), (pair + ("--auth", "some"), "none"), (pair + ("--bogus",), "--bogus"),
                       (pair + ("extra",), "extra"), (pair + ("--listen", "0.0.0.0:21999"), "--auth none"),
                       (pair + ("--listen", "[::]:21999"), "--auth none"), (pair + ("--listen", "10.0.0.1:21999"), "--auth none")):
        code, text = run_bbd(*args)
        expect(code, 2, str(args))
        assert word in text, f"{args}: {text}"
    expect(run_bbd("--version")[0], 0, "--version")
    expect(run_bbd("--help")[0], 0, "--help")


@case("missing, unformatted and held devices are refused with a sentence", waits=True)
def devices(_):
    with tempfile.TemporaryDirectory(dir=os.environ.get("BB_TMP")) as path:
        names = [os.path.join(path, name) for name in ("data", "index")]
        args = ("--data", names[0], "--index", names[1], "--run-dir", path, "--listen", "127.0.0.1:0")
        code, text = run_bbd(*args)
        assert code not in (0, 2) and names[0] in text, text
        for name in names:
            with open(name, "wb") as file:
                os.posix_fallocate(file.fileno(), 0, 64 * MIB)
        code, text = run_bbd(*args)
        expect(code, 10, text)
        code, text = run_bbd("--data", names[0], "--index", names[0], "--run-dir", path, "--listen", "127.0.0.1:0")
        assert code in (10, 11), f"one device for both: {code} {text}"


@case("a second daemon waits for the devices and takes over", waits=True)
def takeover(_):
    store = Store()
    first = store.start()
    name = first.put(b"taken over")
    second = store.start(wait=False)
    wait_until(lambda: "waiting" in second.log(), "word of the held device", 60)
    first.kill()
    second.wait_ready()
    expect(second.get(name), b"taken over", "block")
    expect(second.stop(), 0, "exit code")


@case("what was acknowledged survives kill -9", "quick")
def killed(_):
    store = Store()
    server = store.start()
    blocks = {}
    for round_number in range(3):
        with server.connect() as raw:
            for size in (0, 1, 4096, 12345, 300000):
                data = os.urandom(size)
                raw.send(request("PUT", "/block", body=data))
                assert raw.reply().status in (200, 201)
                blocks[sha(data)] = data
        gone = list(blocks)[round_number]
        expect(server.delete(gone), 204, "delete")
        del blocks[gone]
        server.kill()
        server = store.start()
        for name, data in blocks.items():
            assert server.get(name) == data, f"{name} is lost"
        expect(sorted(server.names()), sorted(blocks), "list")
    expect(server.stop(), 0, "exit code")


@case("a clean stop ends with 0 and the next start finds it clean", "quick")
def clean_stop(_):
    store = Store()
    for sign in (signal.SIGTERM, signal.SIGINT):
        server = store.start()
        server.put(os.urandom(100))
        server.process.send_signal(sign)
        expect(server.stop(), 0, "exit code")
        server = store.start()
        status = json.loads(server.ask("GET", "/status").text())
        expect((status["recovery"]["clean"], status["recovery"]["items"]), (True, 0), "recovery")
        expect(server.stop(), 0, "exit code")


def begin_upload(raw, size):
    """A PUT that the server has begun to work on; its body is still to come."""
    raw.send(head("PUT", "/block", {"Content-Length": str(size), "Expect": "100-continue"}))
    expect(raw.reply().status, 100, "the server waits for the body")


@case("draining: running requests end, new writes get 503, reads are served", waits=True)
def draining(_):
    store = Store()
    server = store.start()
    stored = server.put(b"stored before")
    data = os.urandom(100000)
    with server.connect() as slow, server.connect() as idle:
        idle.send(request("GET", "/livez"))
        expect(idle.reply().status, 200, "idle connection")
        begin_upload(slow, 100000)
        slow.send(data[:50000])
        server.process.send_signal(signal.SIGTERM)
        assert idle.at_end(), "an idle connection is closed"
        wait_until(lambda: server.ask("GET", "/readyz").status == 503, "the drain", 10)
        reply = server.ask("GET", "/readyz")
        expect(reply.status, 503, "readyz")
        assert "drain" in reply.text(), reply.text()
        expect(server.ask("GET", "/livez").status, 200, "livez")
        reply = server.ask("PUT", "/block", body=b"new")
        expect((reply.status, reply.get("connection")), (503, "close"), "a new PUT")
        assert reply.get("retry-after"), "Retry-After"
        expect(server.ask("DELETE", "/block/" + stored).status, 503, "a new DELETE")
        reply = server.ask("GET", "/block/" + stored)
        expect((reply.status, reply.get("connection")), (200, "close"), "GET")
        expect(json.loads(server.ask("GET", "/status").text())["state"], "draining", "status")
        slow.send(data[50000:])
        reply = slow.reply()
        expect((reply.status, reply.get("connection")), (201, "close"), "the running PUT")
    expect(server.stop(), 0, "exit code")
    server = store.start()
    expect(server.get(sha(data)), data, "it was stored")
    expect(server.stop(), 0, "exit code")


@case("draining ends after 10 s whatever clients do", waits=True)
def draining_ends(_):
    server = Store().start()
    with server.connect() as slow:
        begin_upload(slow, MIB)
        stop = threading.Event()

        def drip():
            while not stop.is_set():
                try:
                    slow.send(b"x" * 4000)
                except OSError:
                    return
                time.sleep(0.1)

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        began = time.monotonic()
        code = server.stop(60)
        took = time.monotonic() - began
        stop.set()
        thread.join()
        expect(code, 0, "exit code")
        assert 9 < took < 20, f"{took:.1f} s"  # 10 s, and the stop itself on a busy machine


@case("a failed data write is 500, takes its extent out of use and nothing else", "quick")
def data_write_fails(_):
    store = Store()
    server = store.start()
    before = server.put(b"before")
    data = os.urandom(4096)
    server.fail_writes(store.find(b"before"))
    for _ in range(3):
        expect(server.ask("PUT", "/block", body=data).status, 500, "PUT")
        expect(server.get(sha(data)), None, "nothing stored")
    server.fail_writes(None)
    expect(server.ask("PUT", "/block", body=data).status, 201, "PUT afterwards")
    status = json.loads(server.ask("GET", "/status").text())
    expect(status["space"]["quarantined"], 3 * 4096, "quarantined")
    expect((server.get(before), server.get(sha(data))), (b"before", data), "blocks")
    expect(server.stop(), 0, "exit code")
    server = store.start()
    status = json.loads(server.ask("GET", "/status").text())
    expect(status["space"]["quarantined"], 0, "quarantined after a restart")
    expect((server.get(before), server.get(sha(data))), (b"before", data), "blocks")
    expect(server.stop(), 0, "exit code")


@case("a failed journal write gives 503 to those who wait and ends with 13", "quick")
def journal_write_fails(_):
    store = Store()
    server = store.start()
    before = server.put(b"before")
    wait_quiet(lambda: json.loads(server.ask("GET", "/status").text()))
    server.fail_writes(8 * MIB)
    reply = server.ask("DELETE", "/block/" + before)
    expect(reply.status, 503, "DELETE")
    assert reply.get("retry-after"), "Retry-After"
    expect(server.stop(), 13, "exit code")
    expect(server.log().count("fatal"), 1, "said once")
    server = store.start()
    assert server.get(before) in (None, b"before"), "the block is whole or gone"
    data = os.urandom(10000)
    server.put(data)
    expect(server.get(sha(data)), data, "life goes on")
    expect(server.stop(), 0, "exit code")


@case("an I/O error under the map of the index names the device and ends with 13")
def index_gone(_):
    store = Store()
    server = store.start()
    for i in range(200):
        server.put(b"%d" % i)
    expect(server.stop(), 0, "exit code")
    server = store.start()
    os.truncate(store.index, 8192)
    try:
        for i in range(200):
            server.get(sha(b"%d" % i))
    except (OSError, Closed):
        pass
    expect(server.stop(), 13, "exit code")
    assert store.index in server.log() and "index" in server.log(), server.log()


@case("systemd is told: STATUS, READY, STOPPING", "quick")
def notify(_):
    store = Store()
    with tempfile.TemporaryDirectory(dir=os.environ.get("BB_TMP")) as path:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
            listener.bind(path + "/notify")
            listener.settimeout(20)
            server = store.start(env={"NOTIFY_SOCKET": path + "/notify"})
            expect(server.stop(), 0, "exit code")
            got = b""
            while b"STOPPING=1" not in got:
                got += listener.recv(4096) + b"\n"
            assert b"READY=1" in got and got.index(b"READY=1") < got.index(b"STOPPING=1"), got
            assert b"STATUS=" in got, got


@case("any number of workers serves, with the controller inside or alone")
def workers(_):
    store = Store()
    for args in (("--workers", "1"), ("--workers", "3"), ("--workers", "2", "--only-6-1"), ("--memory", "24M")):
        server = store.start(*args)
        data = os.urandom(50000)
        expect(server.put(data), sha(data), str(args))
        expect(server.get(sha(data)), data, str(args))
        expect(server.stop(), 0, str(args))


@case("both addresses of loopback are served by default", "quick")
def both_families(_):
    store = Store()
    server = store.start("--listen", "[::1]:0")
    line = next(line for line in server.log().splitlines() if "listening address=[::1]" in line)
    port = int(line.rsplit(":", 1)[1])
    with server.connect(host="127.0.0.1") as raw:
        raw.send(request("GET", "/livez"))
        expect(raw.reply().status, 200, "IPv4")
    with socket.create_connection(("::1", port)) as sock:
        sock.sendall(request("GET", "/livez", host="[::1]"))
        assert sock.recv(100).startswith(b"HTTP/1.1 200"), "IPv6"
    expect(server.stop(), 0, "exit code")
