# SPDX-License-Identifier: Apache-2.0
"""Deadlines, shedding, full devices, load."""

import json
import os
import random
import threading
import time

from bbstore import wait_until
from bbtest import case, expect, head, request, sha, Closed, Store, MIB


def closes_within(raw, began, low, high):
    """The reply's status or None, and checks when it came: after low seconds, counted from before
    the server can have begun to, and before high, with room for a busy machine."""
    raw.sock.settimeout(high + 5)
    status = None
    try:
        status = raw.reply().status
    except (Closed, ConnectionResetError):
        pass
    took = time.monotonic() - began
    assert low <= took <= high, f"after {took:.1f} s instead of {low} to {high}"
    return status


def together(*functions):
    """Runs all at once; the first failure is raised."""
    failures = []

    def guarded(function):
        try:
            function()
        except Exception as error:  # pylint: disable=broad-except
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(function,)) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


@case("slow clients are cut: heads after 10 s in all, bodies below 8 KiB/s", waits=True)
def slow_clients(server):
    def no_byte():
        began = time.monotonic()
        with server.connect() as raw:
            expect(closes_within(raw, began, 9.5, 16), None, "no byte: closed without a word")

    def drip_head():
        began = time.monotonic()
        with server.connect() as raw:
            raw.send("GET /livez HT")

            def drip():
                for byte in "TP/1.1\r\nHost: localhost\r\nX: ":
                    time.sleep(0.6)
                    try:
                        raw.send(byte)
                    except OSError:
                        return

            thread = threading.Thread(target=drip)
            thread.start()
            expect(closes_within(raw, began, 9.5, 16), 408, "a head that drips in")
            thread.join()

    def second_head():
        with server.connect() as raw:
            raw.send(request("GET", "/livez"))
            expect(raw.reply().status, 200, "first")
            time.sleep(1)
            began = time.monotonic()
            raw.send("GET /livez")
            expect(closes_within(raw, began, 9.5, 16), 408, "the second head")

    def silent_body():
        began = time.monotonic()
        with server.connect() as raw:
            raw.send(head("PUT", "/block", {"Content-Length": "100000"}) + b"x" * 1000)
            expect(closes_within(raw, began, 4.5, 9), 408, "a body that stops")

    def slow_body():
        began = time.monotonic()
        with server.connect() as raw:
            raw.send(head("PUT", "/block", {"Content-Length": "1000000"}))

            def drip():
                for _ in range(40):
                    try:
                        raw.send(b"x" * 700)
                    except OSError:
                        return
                    time.sleep(0.2)

            thread = threading.Thread(target=drip)
            thread.start()
            expect(closes_within(raw, began, 4.5, 12), 408, "a body at 3.5 KB/s")
            thread.join()

    def steady_body():
        data = os.urandom(160000)
        with server.connect() as raw:
            raw.send(head("PUT", "/block", {"Content-Length": str(len(data))}))
            began, at = time.monotonic(), 0
            while at < len(data):
                due = int((time.monotonic() - began) * 13000) + 2000 - at  # late ones catch up
                raw.send(data[at : at + due])
                at += due
                time.sleep(0.15)
            expect(raw.reply().status, 201, "a body at 13 KB/s")

    def slow_reader():
        data = os.urandom(MIB)
        name = server.put(data)
        with server.connect(rcvbuf=4096) as raw:
            raw.send(request("GET", "/block/" + name) * 40)
            time.sleep(14)
            raw.sock.settimeout(5)
            total = 0
            try:
                while True:
                    piece = raw.sock.recv(1 << 20)
                    if not piece:
                        break
                    total += len(piece)
            except OSError:
                pass
            assert total < 40 * MIB, "a client that does not read is cut"

    def steady_reader():
        data = os.urandom(MIB)
        name = server.put(data)
        with server.connect(rcvbuf=4096) as raw:
            raw.send(request("GET", "/block/" + name) * 8)
            raw.sock.settimeout(5)
            began, got = time.monotonic(), 0
            while time.monotonic() < began + 16:
                piece = raw.sock.recv(4096)
                assert piece, f"a client that reads at 40 KB/s is cut after {got} bytes"
                got += len(piece)
                time.sleep(max(0, began + got / 40000 - time.monotonic()))

    def patient():
        with server.connect() as raw:
            raw.send(request("GET", "/livez"))
            expect(raw.reply().status, 200, "first")
            time.sleep(12)
            raw.send(request("GET", "/livez"))
            expect(raw.reply().status, 200, "an idle connection lives longer than 10 s")

    together(no_byte, drip_head, second_head, silent_body, slow_body, steady_body, slow_reader, steady_reader, patient)


@case("an idle connection is closed after 75 s", "long", waits=True)
def idle(server):
    with server.connect() as raw:
        began = time.monotonic()
        raw.send(request("GET", "/livez"))
        expect(raw.reply().status, 200, "first")
        expect(closes_within(raw, began, 73, 85), None, "closed without a word")


@case("above the limit of connections the slowest one goes")
def connection_limit(_):
    server = Store().start("--connections", "16", "--workers", "2")
    idle_ones = [server.connect() for _ in range(40)]
    for _ in range(10):
        expect(server.ask("GET", "/livez").status, 200, "a new connection is served at once")
    open_now = json.loads(server.ask("GET", "/status").text())["connections"]["open"]
    assert open_now <= 16, f"{open_now} connections"
    for raw in idle_ones:
        raw.close()
    expect(server.ask("GET", "/readyz").status, 200, "afterwards")
    expect(server.stop(), 0, "exit code")


@case("slow large bodies cannot keep others from getting a buffer", waits=True)
def buffer_limit(_):
    server = Store().start("--memory", "48M", "--workers", "1")
    data, small = os.urandom(MIB), os.urandom(4096)
    server.put(data)
    slow = []
    for _ in range(64):
        raw = server.connect()
        raw.send(head("PUT", "/block", {"Content-Length": str(MIB)}) + b"x" * 60000)
        slow.append(raw)
    wait_until(lambda: json.loads(server.ask("GET", "/status").text())["connections"]["open"] > 64,
               "the slow ones")
    began = time.monotonic()
    expect(server.ask("PUT", "/block", body=small).status, 201, "a small PUT")
    expect(server.get(sha(small)), small, "a small GET")
    took = time.monotonic() - began
    assert took < 4, f"small ones waited {took:.1f} s"  # slow ones are cut after 5
    began = time.monotonic()
    expect(server.get(sha(data)), data, "a large GET")
    expect(server.ask("PUT", "/block", body=os.urandom(MIB)).status, 201, "a large PUT")
    took = time.monotonic() - began
    assert took < 15, f"large ones waited {took:.1f} s"
    for raw in slow:
        raw.close()
    expect(server.stop(), 0, "exit code")


@case("a full device answers 507, and reads, deletes and new room still work")
def device_full(_):
    server = Store(data_size=48 * MIB).start()
    names = []
    with server.connect() as raw:
        for _ in range(100):
            raw.send(request("PUT", "/block", body=os.urandom(MIB)))
            reply = raw.reply()
            if reply.status != 201:
                break
            names.append(reply.text().strip())
    expect(reply.status, 507, "status")
    expect(reply.get("connection"), "close", "before the body was read")
    assert "free" in reply.text() and "largest" in reply.text(), reply.text()
    assert len(names) >= 5, f"only {len(names)} blocks fit"
    with server.connect() as raw:
        raw.send(head("PUT", "/block", {"Content-Length": str(MIB), "Expect": "100-continue"}))
        expect(raw.reply().status, 507, "instead of 100")
    expect(len(server.get(names[0])), MIB, "reads")
    for name in names[:3]:
        expect(server.delete(name), 204, "delete")
    expect(server.ask("PUT", "/block", body=os.urandom(MIB)).status, 201, "room again")
    expect(server.stop(), 0, "exit code")


@case("many clients on few blocks see nothing but whole blocks")
def crowd(_):
    store = Store()
    server = store.start()
    blocks = [os.urandom(size) for size in (0, 100, 4096, 5000, 70000, 300000, MIB)]
    stop_at = time.monotonic() + 4
    counts = {}
    lock = threading.Lock()

    def client(seed):
        rng = random.Random(seed)
        with server.connect() as raw:
            while time.monotonic() < stop_at:
                data = rng.choice(blocks)
                method = rng.choice(("PUT", "PUT", "GET", "GET", "GET", "DELETE", "HEAD"))
                raw.send(request(method, "/block/" + sha(data), body=data if method == "PUT" else None))
                reply = raw.reply(method)
                allowed = {"PUT": (200, 201), "GET": (200, 404), "DELETE": (204, 404), "HEAD": (200, 404)}[method]
                assert reply.status in allowed, f"{method}: {reply.status} {reply.text()}"
                if method == "GET" and reply.status == 200:
                    assert reply.body == data, "other bytes"
                with lock:
                    counts[method, reply.status] = counts.get((method, reply.status), 0) + 1

    together(*[lambda seed=seed: client(seed) for seed in range(16)])
    assert len(counts) >= 7, f"not every outcome occurred: {counts}"
    server.kill()
    server = store.start()
    stored = server.names()
    for data in blocks:
        found = server.get(sha(data))
        assert found is None or found == data, "after kill -9: other bytes"
        expect(sha(data) in stored, found is not None, "list and block agree")
    expect(server.stop(), 0, "exit code")
