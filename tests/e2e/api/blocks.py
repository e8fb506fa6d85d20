# SPDX-License-Identifier: Apache-2.0
"""Blocks: PUT, POST, GET, HEAD, DELETE, conditions, ranges, proof, corruption."""

import hashlib
import json
import os
import re

from bbtest import case, digest_field, expect, head, request, sha, Store

ABSENT = sha(b"never stored")
IMMUTABLE = "public, max-age=31536000, immutable"


def fresh(size=4096):
    return os.urandom(size)


@case("a new block gives 201 with its name, Location and ETag", "quick")
def put_new(server):
    data = fresh()
    for method, target in (("PUT", "/block"), ("POST", "/block"), ("PUT", "/block/")):
        data = fresh()
        target = target if not target.endswith("/") else target + sha(data)
        reply = server.ask(method, target, body=data)
        expect(reply.status, 201, f"{method} {target}")
        expect(reply.text(), sha(data) + "\n", "body")
        expect(reply.get("location"), "/block/" + sha(data), "Location")
        expect(reply.get("etag"), f'"{sha(data)}"', "ETag")
        expect(reply.get("cache-control"), "no-store", "Cache-Control")
        expect(server.get(sha(data)), data, "block")


@case("a stored block gives 200 with the same fields", "quick")
def put_again(_):
    server = Store().start()  # where nobody else uses space meanwhile
    for size in (0, 4096, 32768, 100000, 1 << 20):
        data = fresh(size)
        server.put(data)
        used = json.loads(server.ask("GET", "/status").text())["space"]["used"]
        for method, target in (("PUT", "/block"), ("POST", "/block"), ("PUT", "/block/" + sha(data))):
            reply = server.ask(method, target, body=data)
            expect(reply.status, 200, f"{method} {target}")
            expect(reply.text(), sha(data) + "\n", "body")
            expect(reply.get("location"), "/block/" + sha(data), "Location")
            expect(reply.get("etag"), f'"{sha(data)}"', "ETag")
        after = json.loads(server.ask("GET", "/status").text())["space"]["used"]
        expect(after, used, "used space")


@case("a body with another hash than the path is 422 and nothing is stored", "quick")
def put_wrong_hash(server):
    data, other = fresh(), fresh()
    with server.connect() as raw:
        raw.send(request("PUT", "/block/" + sha(other), body=data))
        reply = raw.reply()
        expect(reply.status, 422, "status")
        assert sha(data) in reply.text(), "the found hash is named"
        raw.send(request("GET", "/block/" + sha(data)))
        expect(raw.reply().status, 404, "the body's own name")
        raw.send(request("GET", "/block/" + sha(other)))
        expect(raw.reply().status, 404, "the name in the path")


@case("If-None-Match: * on a stored block is 412 with ETag, on a new one 201", "quick")
def put_if_absent(server):
    for size in (4096, 100000):
        check_if_absent(server, fresh(size))


def check_if_absent(server, data):
    for target in ("/block", "/block/" + sha(data)):
        reply = server.ask("PUT", target, {"If-None-Match": "*"}, body=data)
        if target == "/block":
            expect(reply.status, 201, "new block")
    for target in ("/block", "/block/" + sha(data)):
        reply = server.ask("PUT", target, {"If-None-Match": "*"}, body=data)
        expect(reply.status, 412, target)
        expect(reply.get("etag"), f'"{sha(data)}"', "ETag")
    reply = server.ask("PUT", "/block/" + sha(data), {"If-None-Match": f'"{sha(data)}"'}, body=data)
    expect(reply.status, 412, "the block's own tag")
    reply = server.ask("PUT", "/block/" + sha(data), {"If-None-Match": f'"{ABSENT}"'}, body=data)
    expect(reply.status, 200, "another tag")


@case("GET gives the bytes with all fields of an immutable block", "quick")
def get_fields(server):
    for size in (0, 1, 4095, 4096, 4097, 65536, 65537, 300001, 1 << 20):
        data = fresh(size)
        server.put(data)
        reply = server.ask("GET", "/block/" + sha(data))
        expect(reply.status, 200, f"{size} bytes")
        assert reply.body == data, f"{size} bytes: other bytes"
        expect(reply.get("etag"), f'"{sha(data)}"', "ETag")
        expect(reply.get("repr-digest"), digest_field(data), "Repr-Digest")
        expect(reply.get("accept-ranges"), "bytes", "Accept-Ranges")
        expect(reply.get("cache-control"), IMMUTABLE, "Cache-Control")
        expect(reply.get("content-type"), "application/octet-stream", "Content-Type")
        expect(reply.get("content-length"), str(size), "Content-Length")
        expect(reply.get("x-content-type-options"), "nosniff", "nosniff")
        expect(reply.get("transfer-encoding"), None, "Transfer-Encoding")


@case("HEAD answers as GET without the body and ignores Range", "quick")
def head_fields(server):
    data = fresh(5000)
    server.put(data)
    whole = server.ask("GET", "/block/" + sha(data))
    for fields in ({}, {"Range": "bytes=1-2"}, {"Range": "bytes=9000-"}):
        with server.connect() as raw:
            raw.send(request("HEAD", "/block/" + sha(data), fields))
            reply = raw.reply("HEAD")
            expect(reply.status, 200, str(fields))
            ours = [pair for pair in reply.fields if pair[0] != "date"]
            expect(ours, [pair for pair in whole.fields if pair[0] != "date"], "fields")
            raw.send(request("GET", "/livez"))
            expect(raw.reply().status, 200, "no body was sent")
    expect(server.ask("HEAD", "/block/" + ABSENT).status, 404, "absent")


@case("one satisfiable range gives 206", "quick")
def ranges(server):
    data = fresh(10000)
    server.put(data)
    table = (
        ("bytes=0-0", 0, 0), ("bytes=0-", 0, 9999), ("bytes=100-199", 100, 199),
        ("bytes=9999-", 9999, 9999), ("bytes=9000-20000", 9000, 9999), ("bytes=-1", 9999, 9999),
        ("bytes=-500", 9500, 9999), ("bytes=-20000", 0, 9999), ("Bytes=5-6", 5, 6),
    )
    for value, first, last in table:
        reply = server.ask("GET", "/block/" + sha(data), {"Range": value})
        expect(reply.status, 206, value)
        expect(reply.get("content-range"), f"bytes {first}-{last}/10000", value)
        assert reply.body == data[first : last + 1], value
        expect(reply.get("content-length"), str(last - first + 1), value)
        expect(reply.get("etag"), f'"{sha(data)}"', value)


@case("an unsatisfiable range gives 416 with the size", "quick")
def ranges_unsatisfiable(server):
    data = fresh(10000)
    server.put(data)
    for value in ("bytes=10000-", "bytes=10000-10001", "bytes=-0"):
        reply = server.ask("GET", "/block/" + sha(data), {"Range": value})
        expect(reply.status, 416, value)
        expect(reply.get("content-range"), "bytes */10000", value)


@case("malformed or several ranges are ignored", "quick")
def ranges_ignored(server):
    data = fresh(10000)
    server.put(data)
    for value in ("bytes=5-4", "bytes=a-b", "bytes=", "bytes=-", "items=0-1", "bytes=0-1,3-4", "bytes 0-1",
                  "bytes=0-1, 5000-", "bytes=1", "bytes=--1"):
        reply = server.ask("GET", "/block/" + sha(data), {"Range": value})
        expect(reply.status, 200, value)
        assert reply.body == data, value


@case("If-Range decides whether Range counts", "quick")
def if_range(server):
    data = fresh(10000)
    server.put(data)
    table = ((f'"{sha(data)}"', 206), (f'"{ABSENT}"', 200), (f'W/"{sha(data)}"', 200),
             ("Wed, 21 Oct 2015 07:28:00 GMT", 200))
    for value, status in table:
        reply = server.ask("GET", "/block/" + sha(data), {"Range": "bytes=0-9", "If-Range": value})
        expect(reply.status, status, value)
    reply = server.ask("GET", "/block/" + sha(data), {"Range": "bytes=10000-", "If-Range": f'"{ABSENT}"'})
    expect(reply.status, 200, "an unsatisfiable range that does not count")


@case("If-None-Match gives 304 for a stored block and 404 for an absent one", "quick")
def if_none_match(server):
    data = fresh()
    server.put(data)
    for method in ("GET", "HEAD"):
        for value in ("*", f'"{sha(data)}"', f'W/"{sha(data)}"', f'"x", "{sha(data)}"'):
            with server.connect() as raw:
                raw.send(request(method, "/block/" + sha(data), {"If-None-Match": value}))
                reply = raw.reply(method)
                expect(reply.status, 304, value)
                expect(reply.get("etag"), f'"{sha(data)}"', "ETag")
                expect(reply.get("cache-control"), IMMUTABLE, "Cache-Control")
                raw.send(request("GET", "/livez"))
                expect(raw.reply().status, 200, "no body was sent")
        reply = server.ask(method, "/block/" + sha(data), {"If-None-Match": f'"{ABSENT}"'})
        expect(reply.status, 200, "another tag")
        for value in ("*", f'"{ABSENT}"'):
            expect(server.ask(method, "/block/" + ABSENT, {"If-None-Match": value}).status, 404, value)


@case("DELETE gives 204, then 404, and the block can be stored again", "quick")
def delete(server):
    data = fresh()
    server.put(data)
    reply = server.ask("DELETE", "/block/" + sha(data))
    expect(reply.status, 204, "first")
    expect(reply.get("content-length"), None, "Content-Length of 204")
    expect(server.delete(sha(data)), 404, "second")
    expect(server.get(sha(data)), None, "block")
    expect(server.ask("HEAD", "/block/" + sha(data)).status, 404, "HEAD")
    expect(server.ask("PUT", "/block", body=data).status, 201, "again")
    expect(server.get(sha(data)), data, "block")


@case("the empty block is a block like any other", "quick")
def empty_block(server):
    name = sha(b"")
    server.delete(name)
    expect(server.ask("PUT", "/block", body=b"").status, 201, "PUT")
    expect(server.ask("PUT", "/block/" + name, body=b"").status, 200, "again")
    reply = server.ask("GET", "/block/" + name)
    expect((reply.status, reply.body, reply.get("content-length")), (200, b"", "0"), "GET")
    expect(server.ask("HEAD", "/block/" + name).get("content-length"), "0", "HEAD")
    expect(server.ask("GET", "/block/" + name, {"Range": "bytes=0-"}).status, 416, "Range")
    reply = server.ask("GET", f"/block/{name}/proof?nonce=" + "ab" * 16)
    expect(reply.text().strip(), hashlib.sha256(b"\xab" * 16).hexdigest(), "proof")
    assert name in server.names(), "listed"
    expect(server.delete(name), 204, "DELETE")


@case("the proof is the hash of nonce and block", "quick")
def proof(server):
    data = fresh(70000)
    server.put(data)
    for size in (16, 17, 64):
        nonce = os.urandom(size)
        for text in (nonce.hex(), nonce.hex().upper()):
            reply = server.ask("GET", f"/block/{sha(data)}/proof?nonce={text}")
            expect(reply.status, 200, f"{size} bytes")
            expect(reply.text(), hashlib.sha256(nonce + data).hexdigest() + "\n", "proof")
            expect(reply.get("cache-control"), "no-store", "Cache-Control")
    for query in ("", "?nonce=", "?nonce=" + "ab" * 15, "?nonce=" + "ab" * 65, "?nonce=" + "ab" * 16 + "a",
                  "?nonce=" + "xy" * 16, "?other=" + "ab" * 16):
        expect(server.ask("GET", f"/block/{sha(data)}/proof{query}").status, 400, query)
    expect(server.ask("GET", f"/block/{ABSENT}/proof?nonce=" + "ab" * 16).status, 404, "absent")


@case("names that are no hashes are 400, other paths 404", "quick")
def paths(server):
    good = sha(b"x")
    for name in ("", "abc", good[:-1], good + "0", good.upper(), good[:-1] + "g", good + "/", "%61" + good[1:],
                 good + "/proofs"):
        expect(server.ask("GET", "/block/" + name).status, 400, name)
    for path in ("//", "/blocks/", "/Block", "/block//" + good, "/blocks/missing/", "/livez/", "//livez", "/favicon.ico",
                 "/blocks/" + good):
        status = server.ask("GET", path).status
        assert status in (400, 404), f"{path}: {status}"


@case("other methods are 405 with Allow, unknown ones 501", "quick")
def methods(server):
    good = sha(b"x")
    table = (
        ("/block", "PUT, POST", ("GET", "HEAD", "DELETE")),
        ("/block/" + good, "GET, HEAD, PUT, DELETE", ("POST",)),
        ("/blocks", "GET, HEAD", ("PUT", "POST", "DELETE")),
        ("/blocks/missing", "POST", ("GET", "HEAD", "PUT", "DELETE")),
        (f"/block/{good}/proof", "GET, HEAD", ("PUT", "DELETE", "POST")),
        ("/livez", "GET, HEAD", ("POST",)), ("/readyz", "GET, HEAD", ("DELETE",)),
        ("/status", "GET, HEAD", ("PUT",)), ("/metrics", "GET, HEAD", ("PUT",)),
        ("/", "GET, HEAD", ("POST", "PUT", "DELETE")),
        ("/status/zones", "GET, HEAD", ("PUT",)), ("/status/zones/0", "GET, HEAD", ("DELETE",)),
    )
    for path, allow, wrong in table:
        for method in wrong + ("OPTIONS", "TRACE"):
            reply = server.ask(method, path)
            expect(reply.status, 405, f"{method} {path}")
            expect(reply.get("allow"), allow, f"{method} {path}")
    expect(server.ask("OPTIONS", "*").status, 405, "OPTIONS *")
    expect(server.ask("CONNECT", "localhost:80").status, 405, "CONNECT")
    for method in ("PATCH", "PROPFIND", "BREW", "get", "SOURCE"):
        expect(server.ask(method, "/livez").status, 501, method)


@case("a corrupt block is never served, listed as missing and healed by the next PUT")
def corruption(_):
    store = Store()
    server = store.start()
    good, data, large = fresh(), fresh(), fresh(200000)
    for block in (good, data, large):
        server.put(block)
    for block in (data, large):
        offset = store.find(block[:4096])
        assert offset is not None, "the block's bytes are on the device"
        store.poke(offset + 100, bytes([block[100] ^ 1]))
        reply = server.ask("GET", "/block/" + sha(block), {"Range": "bytes=0-1"})
        expect(reply.status, 500, "range of a corrupt block")
        expect(server.ask("GET", "/block/" + sha(block)).status, 500, "GET")
        expect(server.ask("HEAD", "/block/" + sha(block)).status, 500, "HEAD")
        expect(server.ask("GET", f"/block/{sha(block)}/proof?nonce=" + "00" * 16).status, 500, "proof")
        asked = "\n".join([sha(good), sha(block)]).encode()
        expect(server.ask("POST", "/blocks/missing", body=asked).text(), sha(block) + "\n", "missing")
    server.kill()
    server = store.start()
    expect(server.ask("HEAD", "/block/" + sha(data)).status, 500, "HEAD after kill -9: the mark is durable")
    reply = server.ask("PUT", "/block/" + sha(data), {"If-None-Match": "*"}, body=data)
    expect(reply.status, 201, "a corrupt block does not count as stored")
    expect(server.get(sha(data)), data, "healed")
    with server.connect() as raw:
        fields = {"Content-Length": str(len(large)), "Expect": "100-continue"}
        raw.send(head("PUT", "/block/" + sha(large), fields))
        expect(raw.reply().status, 100, "a corrupt block is wanted")
        raw.send(large)
        expect(raw.reply().status, 201, "healed")
    expect(server.get(sha(large)), large, "healed")
    expect(server.ask("PUT", "/block", body=large).status, 200, "stored again")
    expect(server.stop(), 0, "exit code")
    server = store.start()
    expect((server.get(sha(data)), server.get(good and sha(good))), (data, good), "after restart")
    expect(server.stop(), 0, "exit code")


@case("error bodies are one line with what, found and cure", "quick")
def error_lines(server):
    replies = [
        server.ask("GET", "/block/" + ABSENT), server.ask("GET", "/nothing"), server.ask("GET", "/block/x"),
        server.ask("PUT", "/block"), server.ask("DELETE", "/block/" + ABSENT), server.ask("PUT", "/livez"),
        server.ask("PUT", "/block", {"Content-Encoding": "gzip"}, body=b"x"),
        server.ask("GET", "/blocks?limit=0"), server.ask("GET", "/livez", host="evil.example.com"),
    ]
    for reply in replies:
        text = reply.text()
        assert reply.status >= 400, text
        assert re.fullmatch(r"[^\n:]+: [^\n]+, [^\n]+\n", text), repr(text)
        expect(reply.get("content-type"), "text/plain; charset=utf-8", "Content-Type")
        expect(reply.get("cache-control"), "no-store", "Cache-Control")
        expect(reply.get("x-content-type-options"), "nosniff", "nosniff")
        assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", reply.get("date")), "Date"
