# SPDX-License-Identifier: Apache-2.0
"""Bodies: lengths, chunks, Expect, digests, limits, clients that vanish."""

import os
import socket
import time

from bbtest import case, chunked, digest_field, expect, head, request, sha, Closed

MAX = 1 << 20


@case("a block of 1 MiB is stored, one byte more is 413 before the body is read", "quick")
def size_limit(server):
    data = os.urandom(MAX)
    expect(server.ask("PUT", "/block", body=data).status, 201, "1 MiB")
    expect(server.get(sha(data)), data, "block")
    for target in ("/block", "/block/" + sha(data), "/blocks/missing"):
        method = "POST" if target == "/blocks/missing" else "PUT"
        for length in (MAX + 1, 1 << 40, (1 << 64) - 1):
            with server.connect() as raw:
                raw.send(head(method, target, {"Content-Length": str(length)}))
                reply = raw.reply()
                expect(reply.status, 413, f"{target} {length}")
                expect(reply.get("connection"), "close", "Connection")
                raw.sock.shutdown(socket.SHUT_WR)
                assert raw.at_end(), "closed"


@case("a client that sends a refused body all the same still gets the reply", "quick")
def lingering(server):
    body = os.urandom(MAX - 1000)
    table = ((head("PUT", "/block", {"Content-Length": str(MAX + 1)}), 413),
             (head("PUT", "/block", {"Content-Length": str(len(body)), "Content-Encoding": "br"}), 415),
             (head("PUT", "/nowhere", {"Content-Length": str(len(body))}), 404),
             (head("PUT", "/block/" + sha(b"x"), {"Content-Length": str(len(body)), "Content-Range": "bytes 0-1/2"}), 400))
    for first, status in table:
        with server.connect() as raw:
            raw.send(first)
            raw.send(body)
            reply = raw.reply()
            expect(reply.status, status, "status")
            expect(reply.get("connection"), "close", "Connection")
            assert raw.at_end(), "closed"


@case("the lingering close ends after 2 s when the client stays", waits=True)
def lingering_ends(server):
    began = time.monotonic()
    with server.connect() as raw:
        raw.send(head("PUT", "/block", {"Content-Length": str(MAX + 1)}))
        expect(raw.reply().status, 413, "status")
        assert raw.at_end(), "our half is closed at once"
        try:
            while time.monotonic() - began < 20:
                raw.send(b"x")
                time.sleep(0.1)
        except OSError:
            pass
        took = time.monotonic() - began
        assert 1.8 < took < 8, f"gone after {took:.1f} s"  # with room for a busy machine


@case("no length at all is 411", "quick")
def no_length(server):
    for method, target in (("PUT", "/block"), ("POST", "/block"), ("PUT", "/block/" + sha(b"")),
                           ("POST", "/blocks/missing")):
        reply = server.ask(method, target)
        expect(reply.status, 411, f"{method} {target}")
        expect(reply.get("connection"), "close", "Connection")


@case("chunked bodies are stored however they are cut", "quick")
def chunks(server):
    for size, piece in ((0, 1), (1, 1), (300, 1), (4096, 4096), (4096, 1000), (100000, 4000), (MAX, 65536),
                        (MAX, 8192)):
        data = os.urandom(size)
        target = "/block/" + sha(data)
        with server.connect() as raw:
            raw.send(head("PUT", target, {"Transfer-Encoding": "chunked"}) + chunked(data, piece))
            reply = raw.reply()
            assert reply.status in (200, 201), f"{size} in {piece}: {reply.status} {reply.text()}"
            raw.send(request("GET", target))
            assert raw.reply().body == data, f"{size} in {piece}: other bytes"


@case("chunk extensions and trailers are dropped", "quick")
def chunk_extras(server):
    data = os.urandom(5000)
    body = chunked(data, 700, ';name="a;b"', b"Checksum: 1\r\nAnother: 2\r\n")
    with server.connect() as raw:
        raw.send(head("POST", "/block", {"Transfer-Encoding": "chunked"}) + body + request("GET", "/livez"))
        expect(raw.reply().status, 201, "status")
        expect(raw.reply().status, 200, "the next request in the same packet")
    expect(server.get(sha(data)), data, "block")


@case("a chunked body above 1 MiB is 413", "quick")
def chunks_too_many(server):
    data = os.urandom(MAX + 1)
    with server.connect() as raw:
        raw.send(head("PUT", "/block", {"Transfer-Encoding": "chunked"}))
        try:
            raw.send(chunked(data, 65536))
        except OSError:
            pass
        reply = raw.reply()
        expect(reply.status, 413, "status")
        expect(reply.get("connection"), "close", "Connection")
    expect(server.get(sha(data)), None, "block")


@case("malformed chunks are 400 and close", "quick")
def chunks_malformed(server):
    for body in (b"x\r\n", b"-1\r\n", b"+1\r\na\r\n", b"0x1\r\na\r\n", b" 1\r\na\r\n", b"1 \r\na\r\n", b"1\na\r\n",
                 b"1\r\nab\r\n", b"1\r\na\n0\r\n\r\n", b"\r\n", b"ffffffffffffffffff\r\n", b"1;\x01\r\na\r\n",
                 b"0\r\nbad trailer\r\n\r\n", b"0\r\n folded\r\n\r\n"):
        with server.connect() as raw:
            raw.send(head("PUT", "/block", {"Transfer-Encoding": "chunked"}) + body)
            raw.sock.shutdown(socket.SHUT_WR)
            reply = raw.reply()
            expect(reply.status, 400, repr(body))
            expect(reply.get("connection"), "close", repr(body))
            assert raw.at_end(), repr(body)


@case("a chunked body that arrives byte by byte is stored", waits=True)
def chunks_slowly(server):
    data = os.urandom(40)
    with server.connect() as raw:
        for byte in head("PUT", "/block", {"Transfer-Encoding": "chunked"}) + chunked(data, 7):
            raw.send(bytes([byte]))
            time.sleep(0.001)
        expect(raw.reply().status, 201, "status")
    expect(server.get(sha(data)), data, "block")


@case("Expect gives 100 for a block that is wanted", "quick")
def expect_new(server):
    for target in ("/block", "name"):
        data = os.urandom(5000)
        target = "/block/" + sha(data) if target == "name" else target
        with server.connect() as raw:
            raw.send(head("PUT", target, {"Content-Length": "5000", "Expect": "100-continue"}))
            interim = raw.reply()
            expect(interim.status, 100, "interim")
            expect(interim.fields, [], "its fields")
            raw.send(data)
            expect(raw.reply().status, 201, "final")
            raw.send(request("GET", "/block/" + sha(data)))
            expect(raw.reply().body, data, "block")


@case("Expect on a stored block gives 200 at once and closes", "quick")
def expect_stored(server):
    data = os.urandom(5000)
    server.put(data)
    target = "/block/" + sha(data)
    with server.connect() as raw:
        raw.send(head("PUT", target, {"Content-Length": "5000", "Expect": "100-continue"}))
        reply = raw.reply()
        expect(reply.status, 200, "status")
        expect(reply.get("connection"), "close", "Connection")
        expect(reply.text(), sha(data) + "\n", "body")
        raw.send(data)
        assert raw.at_end(), "closed"
    fields = {"Content-Length": "5000", "Expect": "100-continue", "If-None-Match": "*"}
    with server.connect() as raw:
        raw.send(head("PUT", target, fields))
        expect(raw.reply().status, 412, "with If-None-Match")


@case("Expect on a refused request gives the refusal, not 100", "quick")
def expect_refused(server):
    for fields, status in (({"Content-Length": str(MAX + 1)}, 413), ({"Content-Length": "1", "Content-Encoding": "gzip"}, 415),
                           ({"Content-Length": "1", "Content-Range": "bytes 0-0/1"}, 400)):
        with server.connect() as raw:
            raw.send(head("PUT", "/block", {**fields, "Expect": "100-continue"}))
            reply = raw.reply()
            expect(reply.status, status, str(fields))
            expect(reply.get("connection"), "close", "Connection")
    reply = server.ask("PUT", "/block", {"Expect": "200-ok"}, body=b"x")
    expect(reply.status, 417, "unknown expectation")


@case("Expect is not answered with 100 when the body is there or on HTTP/1.0", "quick")
def expect_needless(server):
    data = os.urandom(100)
    reply = server.ask("PUT", "/block", {"Expect": "100-continue"}, body=data)
    assert reply.status in (100, 201), reply.status
    data = os.urandom(100)
    reply = server.ask("PUT", "/block", {"Expect": "100-continue"}, body=data, version="HTTP/1.0")
    expect(reply.status, 201, "HTTP/1.0")


@case("Content-Encoding is 415, Content-Range 400", "quick")
def refused_fields(server):
    for fields, status in (({"Content-Encoding": "gzip"}, 415), ({"Content-Encoding": "identity"}, 415),
                           ({"Content-Range": "bytes 0-0/1"}, 400)):
        reply = server.ask("PUT", "/block", fields, body=b"x")
        expect(reply.status, status, str(fields))
        expect(reply.get("connection"), "close", "Connection")


@case("a body on GET, HEAD or DELETE is 400, an empty one is fine", "quick")
def needless_bodies(server):
    name = server.put(os.urandom(10))
    for method in ("GET", "HEAD", "DELETE"):
        expect(server.ask(method, "/block/" + name, body=b"x").status, 400, method)
        expect(server.ask(method, "/livez" if method != "DELETE" else "/block/" + sha(b"?"), body=b"").status,
               200 if method != "DELETE" else 404, method)
        with server.connect() as raw:
            raw.send(head(method, "/block/" + name, {"Transfer-Encoding": "chunked"}) + b"1\r\na\r\n0\r\n\r\n")
            expect(raw.reply(method).status, 400, method + " chunked")
    expect(server.ask("GET", "/blocks", body=b"x").status, 400, "list")


@case("Content-Digest and Repr-Digest are checked", "quick")
def digests(server):
    for field in ("Content-Digest", "Repr-Digest"):
        data = os.urandom(3000)
        expect(server.ask("PUT", "/block", {field: digest_field(b"other")}, body=data).status, 422, "wrong " + field)
        expect(server.get(sha(data)), None, "nothing stored")
        expect(server.ask("PUT", "/block", {field: digest_field(data)}, body=data).status, 201, field)
        expect(server.ask("PUT", "/block", {field: "md5=:AAAA:"}, body=data).status, 200, "other algorithm")
        both = "sha-512=:AAAA:, " + digest_field(data)
        expect(server.ask("PUT", "/block", {field: both}, body=data).status, 200, "two algorithms")
        for value in ("sha-256", "sha-256=abc", "sha-256=:AAAA:", "sha-256=:!!!!:"):
            expect(server.ask("PUT", "/block", {field: value}, body=data).status, 400, value)
    data = os.urandom(3000)
    with server.connect() as raw:
        fields = {"Transfer-Encoding": "chunked", "Content-Digest": digest_field(b"other")}
        raw.send(head("PUT", "/block", fields) + chunked(data))
        expect(raw.reply().status, 422, "chunked")
        raw.send(request("GET", "/livez"))
        expect(raw.reply().status, 200, "the connection goes on")
    fields = {"Content-Digest": digest_field(data), "Repr-Digest": digest_field(b"other")}
    expect(server.ask("PUT", "/block", fields, body=data).status, 422, "they differ")


@case("a client that vanishes in the middle of a body leaves nothing behind", "quick")
def vanish(server):
    before = server.names()
    for fields, body in (({"Content-Length": "100000"}, os.urandom(50000)),
                         ({"Transfer-Encoding": "chunked"}, b"10000\r\n" + os.urandom(20000)),
                         ({"Content-Length": "10"}, b"12345")):
        for how in ("close", "half", "reset"):
            raw = server.connect()
            raw.send(head("PUT", "/block", fields) + body)
            time.sleep(0.05)
            if how == "half":
                raw.sock.shutdown(socket.SHUT_WR)
                assert raw.at_end(), "closed without a reply"
            elif how == "reset":
                raw.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
            raw.close()
    expect(server.names(), before, "blocks")


@case("requests and bodies may come in any pieces", "quick")
def pieces(server):
    data = os.urandom(9000)
    whole = request("PUT", "/block/" + sha(data), body=data)
    for cut in (1, 10, len(whole) - 9001, len(whole) - 9000, len(whole) - 8999, len(whole) - 1):
        server.delete(sha(data))
        with server.connect() as raw:
            raw.send(whole[:cut])
            time.sleep(0.02)
            raw.send(whole[cut:])
            expect(raw.reply().status, 201, f"cut at {cut}")
            expect(server.get(sha(data)), data, f"cut at {cut}")


@case("pipelined requests are answered in order", "quick")
def pipelining(server):
    blocks = [os.urandom(size) for size in (10, 5000, 0, 20000, 4096)]
    out = b""
    for data in blocks:
        out += request("PUT", "/block/" + sha(data), body=data)
        out += request("GET", "/block/" + sha(data))
        out += request("HEAD", "/block/" + sha(data))
        out += head("POST", "/block", {"Transfer-Encoding": "chunked"}) + chunked(data, 999)
    out += request("GET", "/block/" + sha(b"?")) + request("GET", "/livez", {"Connection": "close"})
    for step in (len(out), 1000, 8192):
        for data in blocks:
            server.delete(sha(data))
        with server.connect() as raw:
            for at in range(0, len(out), step):
                raw.send(out[at : at + step])
            for data in blocks:
                expect(raw.reply().status, 201, "PUT")
                expect(raw.reply().body, data, "GET")
                expect(raw.reply("HEAD").get("content-length"), str(len(data)), "HEAD")
                expect(raw.reply().status, 200, "POST")
            expect(raw.reply().status, 404, "absent")
            expect(raw.reply().text(), "alive\n", "last")
            assert raw.at_end(), "closed as asked"


@case("a hundred pipelined requests behind one another", "quick")
def pipelining_many(server):
    with server.connect() as raw:
        raw.send(request("GET", "/livez") * 100)
        for _ in range(100):
            expect(raw.reply().status, 200, "status")
        try:
            raw.send(request("GET", "/livez"))
            expect(raw.reply().status, 200, "and on")
        except Closed as error:
            raise AssertionError("closed") from error


@case("small bodies arrive whole behind heads of any length, in pieces, one after the other", "quick")
def small_after_small(server):
    """The server guesses where a body will begin from the PUT before: right, short and long guesses."""
    sizes = (4096, 4096, 1, 4095, 4096, 4097, 4096, 0, 4096, 8192, 4096, 100)
    bodies = [os.urandom(size) for size in sizes]
    with server.connect() as raw:
        for i, body in enumerate(bodies):
            fields = {"Content-Length": str(len(body)), "X-Fill": "x" * (0, 0, 300, 0, 0, 6000)[i % 6]}
            first = head("PUT", "/block", fields)
            cut = (0, len(first), len(first) + 1, len(first) - 1, len(first) + 4000)[i % 5]
            for piece in ((first + body)[:cut], (first + body)[cut:]):
                if piece:
                    raw.send(piece)
                    time.sleep(0.005)  # two segments, not one: what is tested is the cut
            expect(raw.reply().text(), sha(body) + "\n", f"name of body {i}")
            raw.send(request("GET", "/block/" + sha(body)))
            expect(raw.reply().body, body, f"body {i}")
        for _ in range(3):
            bodies = [os.urandom(size) for size in sizes[2:]]
            raw.send(b"".join(request("PUT", "/block", body=body) for body in bodies))
            for i, body in enumerate(bodies):
                expect(raw.reply().text(), sha(body) + "\n", f"name of pipelined body {i}")
            for i, body in enumerate(bodies):
                expect(server.get(sha(body)), body, f"pipelined body {i}")
