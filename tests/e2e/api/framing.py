# SPDX-License-Identifier: Apache-2.0
"""Request heads: strict framing, hosts, versions, connections."""

import socket

from bbtest import case, expect, head, request, sha

HOST = "Host: localhost\r\n"


def refused(server, data, statuses, what=None):
    """The reply has one of the statuses, closes, and nothing follows."""
    what = what or repr(data[:100])
    with server.connect() as raw:
        raw.send(data)
        reply = raw.reply()
        assert reply.status in statuses, f"{what}: {reply.status} instead of {statuses}"
        expect(reply.get("connection"), "close", what)
        expect(reply.count("content-length"), 1, what)
        raw.sock.shutdown(socket.SHUT_WR)
        assert raw.at_end(), f"{what}: not closed"


@case("malformed heads are 400 and close", "quick")
def malformed(server):
    get = "GET /livez HTTP/1.1\r\n"
    table = (
        get + "\r\n",  # no Host
        get + HOST + HOST + "\r\n", get + HOST + "Host: other\r\n\r\n", get + "Host: a b\r\n\r\n",
        get + "Host: local/host\r\n\r\n", get + "Host: user@localhost\r\n\r\n",
        get + HOST + "A: 1\r\n folded\r\n\r\n", get + HOST + "A: 1\r\n\tfolded\r\n\r\n", get + " Host: localhost\r\n\r\n",
        get + HOST + "A : 1\r\n\r\n", get + "Host : localhost\r\n\r\n", get + HOST + ": 1\r\n\r\n",
        get + HOST + "A\r\n\r\n", get + HOST + "A: a\x00b\r\n\r\n", get + HOST + "A: a\x01b\r\n\r\n",
        get + HOST + "A: a\x7fb\r\n\r\n", get + HOST + "A\x80: b\r\n\r\n", get + HOST + "A(: b\r\n\r\n",
        get + HOST + "A: b\n\r\n", get + HOST + "A: b\rC: d\r\n\r\n", get + HOST + "A: b\r\r\n\r\n", "GET /livez HTTP/1.1\n" + HOST + "\r\n",
        "GET /livez HTTP/1.1\r\nHost: localhost\n\n", "GET  /livez HTTP/1.1\r\n" + HOST + "\r\n",
        "GET /livez  HTTP/1.1\r\n" + HOST + "\r\n", "GET\t/livez HTTP/1.1\r\n" + HOST + "\r\n",
        " GET /livez HTTP/1.1\r\n" + HOST + "\r\n", "GET /livez HTTP/1.1 \r\n" + HOST + "\r\n",
        "GET /livez\r\n" + HOST + "\r\n", "GET /livez\r\n\r\n", "GET /livez HTTP/1\r\n" + HOST + "\r\n",
        "GET /livez HTTP/1.\r\n" + HOST + "\r\n", "GET /livez HTTP/1.10\r\n" + HOST + "\r\n",
        "GET /livez HTTP/01.1\r\n" + HOST + "\r\n", "GET /livez http/1.1\r\n" + HOST + "\r\n",
        "GET /livez HTTP/1,1\r\n" + HOST + "\r\n", "GET /livez HTTPS/1.1\r\n" + HOST + "\r\n",
        "GET /li vez HTTP/1.1\r\n" + HOST + "\r\n", "GET /liv\x01ez HTTP/1.1\r\n" + HOST + "\r\n",
        "GET livez HTTP/1.1\r\n" + HOST + "\r\n", "GET  HTTP/1.1\r\n" + HOST + "\r\n", "\r\n\r\n\r\nGET /livez HTTP/1.1\r\n" + HOST + "\r\n",
        "GET /livez#x HTTP/1.1\r\n" + HOST + "\r\n", "{}\r\n\r\n", "\x16\x03\x01\x02\x00\r\n\r\n",
    )
    for data in table:
        refused(server, data, (400, 501, 505))


@case("every way to say the length twice or wrongly is 400 and closes", "quick")
def lengths(server):
    put = "PUT /block HTTP/1.1\r\n" + HOST
    table = (
        "Content-Length: 1\r\nContent-Length: 1\r\n", "Content-Length: 1\r\nContent-Length: 2\r\n", "Content-Length: 1, 1\r\n",
        "Content-Length: 1,2\r\n", "Content-Length: +1\r\n", "Content-Length: -1\r\n", "Content-Length: 0x1\r\n",
        "Content-Length: 1 1\r\n", "Content-Length: 1_0\r\n", "Content-Length: \r\n", "Content-Length: a\r\n",
        "Content-Length: 1.0\r\n", "Content-Length: 99999999999999999999999\r\n",
        "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "Transfer-Encoding: gzip\r\n",
        "Transfer-Encoding: gzip, chunked\r\n", "Transfer-Encoding: chunked, gzip\r\n", "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: identity\r\n", "Transfer-Encoding: xchunked\r\n", "Transfer-Encoding: \"chunked\"\r\n",
        "Transfer-Encoding: chunked;a=b\r\n", "Transfer-Encoding:\r\n", "Transfer-Encoding : chunked\r\n", "Transfer-Encoding: \x0bchunked\r\n",
    )
    for fields in table:
        refused(server, put + fields + "\r\n" + "1\r\na\r\n0\r\n\r\n", (400, 413, 501), fields)
    refused(server, "PUT /block HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", (400, 501), "HTTP/1.0")


@case("a smuggled second request is never answered", "quick")
def smuggling(server):
    second = "GET /livez HTTP/1.1\r\n" + HOST + "\r\n"
    for fields in ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "Content-Length: 0\r\nContent-Length: 60\r\n",
                   "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n", "Transfer-Encoding: xchunked\r\nContent-Length: 0\r\n"):
        with server.connect() as raw:
            raw.send("PUT /block HTTP/1.1\r\n" + HOST + fields + "\r\n0\r\n\r\n" + second)
            raw.sock.shutdown(socket.SHUT_WR)
            assert raw.reply().status in (400, 501), fields
            assert raw.at_end(), fields


@case("harmless oddities are accepted", "quick")
def accepted(server):
    table = (
        "\r\nGET /livez HTTP/1.1\r\n" + HOST + "\r\n", "GET /livez HTTP/1.1\r\nhOsT:localhost\r\n\r\n",
        "GET /livez HTTP/1.1\r\nHost: \t localhost \t\r\n\r\n", "GET /livez?x=y&z HTTP/1.1\r\n" + HOST + "\r\n",
        "GET /livez HTTP/1.1\r\n" + HOST + "X: \xff\xfe\r\n\r\n", "GET /livez HTTP/1.1\r\n" + HOST + "X:\r\n\r\n",
        "GET /livez HTTP/1.1\r\n" + HOST + "Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        "GET /livez HTTP/1.1\r\n" + HOST + "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nConnection: Upgrade, HTTP2-Settings\r\n\r\n",
        "GET /livez HTTP/1.1\r\n" + HOST + "TE: trailers\r\nAccept: */*\r\n\r\n",
        "GET http://localhost:10001/livez HTTP/1.1\r\n" + HOST + "\r\n", "GET http://127.0.0.1/livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        "GET /livez HTTP/1.2\r\n" + HOST + "\r\n",
    )
    for data in table:
        with server.connect() as raw:
            raw.send(data + "GET /livez HTTP/1.1\r\n" + HOST + "\r\n")
            expect(raw.reply().status, 200, repr(data))
            expect(raw.reply().status, 200, repr(data) + ", the next one")


@case("names of this server are served, others are 421", "quick")
def hosts(server):
    port = server.port
    for host in ("localhost", f"localhost:{port}", "LOCALHOST", "127.0.0.1", f"127.0.0.1:{port}", "[::1]", f"[::1]:{port}", "10.1.2.3",
                 "nas", "nas:80", "store.example.org", "STORE.example.ORG", f"store.example.org:{port}"):
        expect(server.ask("GET", "/livez", host=host).status, 200, host)
    name = sha(b"x")
    for host in ("evil.example.com", "evil.example.com:80", "localhost.evil.com", "127.0.0.1.evil.com", "store.example.org.evil.com",
                 "xstore.example.org", "1.2.3", "a.b"):
        for method, target, body in (("GET", "/livez", None), ("GET", "/block/" + name, None), ("PUT", "/block", b"x"),
                                     ("DELETE", "/block/" + name, None), ("GET", "/nowhere", None), ("POST", "/blocks/missing", b"")):
            expect(server.ask(method, target, host=host, body=body).status, 421, f"{method} {host}")
        with server.connect() as raw:
            raw.send(f"GET http://{host}/livez HTTP/1.1\r\n{HOST}\r\n")
            expect(raw.reply().status, 421, "absolute form " + host)


@case("HTTP/1.0 needs no Host, closes unless asked, gets no 100", "quick")
def http_1_0(server):
    with server.connect() as raw:
        raw.send("GET /livez HTTP/1.0\r\n\r\n")
        reply = raw.reply()
        expect((reply.status, reply.get("connection")), (200, "close"), "plain")
        assert raw.at_end(), "closed"
    with server.connect() as raw:
        for _ in range(3):
            raw.send("GET /livez HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n")
            reply = raw.reply()
            expect((reply.status, reply.get("connection")), (200, "keep-alive"), "keep-alive")
    with server.connect() as raw:
        raw.send("PUT /block HTTP/1.0\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        assert raw.silent(0.2), "no 100"
        raw.send("abc")
        expect(raw.reply().status, 201, "PUT")
    expect(server.ask("GET", "/livez", version="HTTP/1.0", host="evil.example.com").status, 421, "Host counts when given")


@case("HTTP/1.1 stays open unless close is asked for", "quick")
def keep_alive(server):
    with server.connect() as raw:
        for _ in range(5):
            raw.send(request("GET", "/livez"))
            reply = raw.reply()
            expect((reply.status, reply.get("connection")), (200, None), "status")
        raw.send(request("GET", "/livez", {"Connection": "close"}))
        expect(raw.reply().get("connection"), "close", "Connection")
        assert raw.at_end(), "closed"
    for value in ("Close", "foo, close", "close, keep-alive"):
        with server.connect() as raw:
            raw.send(request("GET", "/livez", {"Connection": value}))
            expect(raw.reply().get("connection"), "close", value)
            assert raw.at_end(), value


@case("errors that do not hurt the framing keep the connection", "quick")
def errors_keep(server):
    with server.connect() as raw:
        for method, target, body, status in (("GET", "/block/" + sha(b"no"), None, 404), ("GET", "/nowhere", None, 404),
                                             ("DELETE", "/block/" + sha(b"no"), None, 404), ("GET", "/block", None, 405),
                                             ("GET", "/blocks?limit=x", None, 400), ("PUT", "/block/" + sha(b"no"), b"yes", 422),
                                             ("POST", "/blocks/missing", b"bad\n", 400), ("GET", "/livez", None, 200)):
            raw.send(request(method, target, body=body))
            reply = raw.reply()
            expect((reply.status, reply.get("connection")), (status, None), f"{method} {target}")


@case("other versions are refused", "quick")
def versions(server):
    for version, statuses in (("HTTP/2.0", (400, 505)), ("HTTP/0.9", (400, 505)), ("HTTP/3.0", (400, 505))):
        refused(server, head("GET", "/livez", version=version), statuses)
    refused(server, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", (400, 501, 505), "HTTP/2 preface")


@case("a target that is too long is 414", "quick")
def long_target(server):
    refused(server, head("GET", "/blocks?after=" + "a" * 2000), (414,))
    refused(server, b"GET /" + b"a" * 9000, (414, 431), "no end of line")


@case("too many or too large fields are 431", "quick")
def many_fields(server):
    expect(server.ask("GET", "/livez", [(f"X-{i}", "1") for i in range(63)]).status, 200, "64 fields")
    refused(server, head("GET", "/livez", [(f"X-{i}", "1") for i in range(64)]), (431,), "65 fields")
    filler = 8192 - len(head("GET", "/livez", {"X": ""}))
    expect(server.ask("GET", "/livez", {"X": "a" * filler}).status, 200, "8192 bytes")
    refused(server, head("GET", "/livez", {"X": "a" * (filler + 1)}), (431,), "8193 bytes")
    refused(server, head("GET", "/livez", {"X": "a" * 20000}), (431,), "20000 bytes")
    refused(server, head("GET", "/livez", {"X" * 9000: "a"}), (431,), "a long name")
