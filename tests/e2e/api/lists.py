# SPDX-License-Identifier: Apache-2.0
"""/blocks, /blocks/missing, health, status, metrics."""

import json
import os

from bbtest import case, chunked, expect, head, request, sha, Store


def parse(reply):
    return [tuple(line.split(" ")) for line in reply.text().splitlines()]


@case("the list is in hash order with sizes", "quick")
def list_all(_):
    store = Store()
    server = store.start()
    expect(server.ask("GET", "/blocks").body, b"", "empty store")
    sizes = {}
    for size in (0, 1, 4096, 100000, 1 << 20):
        data = os.urandom(size)
        sizes[server.put(data)] = size
    gone = server.put(b"gone")
    expect(server.delete(gone), 204, "delete")
    reply = server.ask("GET", "/blocks")
    expect(parse(reply), [(name, str(sizes[name])) for name in sorted(sizes)], "list")
    expect(reply.get("link"), None, "Link")
    expect(reply.get("cache-control"), "no-store", "Cache-Control")
    expect(server.ask("HEAD", "/blocks").get("content-length"), str(len(reply.body)), "HEAD")
    server.kill()
    server = store.start()
    expect(parse(server.ask("GET", "/blocks")), [(name, str(sizes[name])) for name in sorted(sizes)], "after kill -9")
    expect(server.stop(), 0, "exit code")


@case("walking by Link sees every block exactly once", "quick")
def walk(_):
    server = Store().start()
    names = set()
    with server.connect() as raw:
        for i in range(0, 300, 50):
            blocks = [b"walk %d" % (i + j) for j in range(50)]
            raw.send(b"".join(request("PUT", "/block", body=data) for data in blocks))
            for data in blocks:
                expect(raw.reply().status, 201, "PUT")
                names.add(sha(data))
    for limit in (1, 7, 100, 299, 300, 301, 10000):
        found, target, pages = [], f"/blocks?after=&limit={limit}", 0
        while target:
            reply = server.ask("GET", target)
            expect(reply.status, 200, target)
            page = [name for name, _ in parse(reply)]
            assert len(page) <= limit, "page too long"
            assert page == sorted(page), "order"
            found += page
            pages += 1
            link = reply.get("link")
            if link:
                assert link.endswith('>; rel="next"'), link
                expect(len(page), limit, "a page before the last is full")
            target = link[1 : link.index(">")] if link else None
            assert pages < 400, "no end"
        expect(found, sorted(names), f"limit {limit}")
    middle = sorted(names)[150]
    reply = server.ask("GET", f"/blocks?after={middle}&limit=3")
    expect([name for name, _ in parse(reply)], sorted(names)[151:154], "after")
    reply = server.ask("GET", "/blocks?limit=2&after=" + "f" * 64)
    expect((reply.body, reply.get("link")), (b"", None), "behind the last")
    expect(server.stop(), 0, "exit code")


@case("the default limit is 1,000", "quick")
def default_limit(_):
    server = Store().start()
    with server.connect() as raw:
        for i in range(0, 1100, 100):
            blocks = [b"many %d" % (i + j) for j in range(100)]
            raw.send(b"".join(request("PUT", "/block", body=data) for data in blocks))
            for data in blocks:
                expect(raw.reply().status, 201, "PUT")
    reply = server.ask("GET", "/blocks")
    expect(len(parse(reply)), 1000, "first page")
    assert reply.get("link"), "Link"
    expect(len(server.names()), 1100, "all")
    expect(server.stop(), 0, "exit code")


@case("a bad limit or after is 400", "quick")
def bad_queries(server):
    for query in ("limit=0", "limit=10001", "limit=", "limit=-1", "limit=x", "limit=1x", "limit=+1", "limit=99999999999999999999",
                  "after=x", "after=" + "a" * 63, "after=" + "a" * 65, "after=" + "A" * 64, "limit=0&after=" + "a" * 64):
        expect(server.ask("GET", "/blocks?" + query).status, 400, query)
    for query in ("", "?", "?limit=10000", "?after=", "?limit=1&after=" + "a" * 64, "?other=1"):
        expect(server.ask("GET", "/blocks" + query).status, 200, query)


@case("missing gives what is not stored, in request order", "quick")
def missing(server):
    stored = [server.put(os.urandom(10)) for _ in range(5)]
    absent = [sha(os.urandom(10)) for _ in range(5)]
    asked = [absent[3], stored[0], absent[0], absent[1], stored[1], absent[0], stored[0], absent[4]]
    wanted = [absent[3], absent[0], absent[1], absent[0], absent[4]]
    for end in ("\n", "\r\n"):
        for tail in ("", end):
            body = (end.join(asked) + tail).encode()
            reply = server.ask("POST", "/blocks/missing", body=body)
            expect((reply.status, reply.text().split()), (200, wanted), repr(end + tail))
            with server.connect() as raw:
                raw.send(head("POST", "/blocks/missing", {"Transfer-Encoding": "chunked"}) + chunked(body, 50))
                expect(raw.reply().text().split(), wanted, "chunked")
    expect(server.ask("POST", "/blocks/missing", body="\n".join(stored).encode()).body, b"", "nothing is missing")
    expect(server.ask("POST", "/blocks/missing", body=b"").body, b"", "nothing asked")


@case("missing takes 10,000 hashes and no more", "quick")
def missing_many(server):
    stored = server.put(b"one of many")
    asked = [sha(b"asked %d" % i) for i in range(10000)]
    asked[5000] = stored
    for end in ("\n", "\r\n"):
        reply = server.ask("POST", "/blocks/missing", body=end.join(asked).encode())
        expect(reply.status, 200, "10,000")
        expect(reply.text().split(), asked[:5000] + asked[5001:], "10,000")
    asked.append(sha(b"x"))
    reply = server.ask("POST", "/blocks/missing", body="\n".join(asked).encode())
    expect(reply.status, 413, "10,001")


@case("a bad line is 400 with its number", "quick")
def missing_bad(server):
    good = sha(b"good")
    table = ((good[:-1], 1), (f"{good}\n\n{good}", 2), (f"{good}\n{good}\n{good.upper()}\n", 3), (f"{good} \n", 1), (f"{good}\n{good}0", 2),
             (f"{good}\r", 1), (f"{good}\r\r\n", 1), ("\n", 1), (f"{good}{good}", 1))
    for text, number in table:
        reply = server.ask("POST", "/blocks/missing", body=text.encode())
        expect(reply.status, 400, repr(text))
        assert f"line {number}:" in reply.text(), reply.text()


@case("health, readiness, status and metrics answer", "quick")
def health(server):
    expect(server.ask("GET", "/livez").text(), "alive\n", "livez")
    expect(server.ask("GET", "/readyz").text(), "ready\n", "readyz")
    for path in ("/", "/livez", "/readyz", "/status", "/status/zones", "/metrics"):
        reply = server.ask("GET", path)
        expect((reply.status, reply.get("cache-control")), (200, "no-store"), path)
        whole = server.ask("HEAD", path)
        expect((whole.status, whole.body), (200, b""), path)
    reply = server.ask("GET", "/status")
    expect(reply.get("content-type"), "application/json", "Content-Type")
    status = json.loads(reply.text())
    expect(status["state"], "ready", "state")
    for key in ("version", "uptime_ms", "store", "recovery", "space", "journal", "delta", "connections", "counters"):
        assert key in status, key
    before = status["engine"]["puts"]
    server.put(os.urandom(20))
    expect(json.loads(server.ask("GET", "/status").text())["engine"]["puts"], before + 1, "puts")
    lines = server.ask("GET", "/metrics").text().splitlines()
    assert "bb_ready 1" in lines, "bb_ready"
    for line in lines:
        assert line.startswith("#") or len(line.split(" ")) == 2, line
