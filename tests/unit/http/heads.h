/* SPDX-License-Identifier: Apache-2.0
 * The strictness table: raw request heads and exactly what must come of each. An accepted head is
 * written as feed_say_request writes it; of a refusal the status and the beginning of the text are
 * given; "more" is an unfinished head. Included by test_head.c. */
#ifndef HTTP_HEADS_H
#define HTTP_HEADS_H

#include <stddef.h>

struct head_case {
    const char *raw;
    size_t size;
    const char *expected;
};

/* Length by sizeof: some heads contain NUL. */
#define HEAD(raw, expected)                                                                        \
    {                                                                                              \
        raw, sizeof(raw) - 1, expected                                                             \
    }
/* A GET with one field beside Host; a PUT with some. */
#define WITH(field, expected) HEAD("GET / HTTP/1.1\r\nHost: a\r\n" field "\r\n\r\n", expected)
#define PUT_WITH(fields, expected)                                                                 \
    HEAD("PUT /b HTTP/1.1\r\nHost: a\r\n" fields "\r\n\r\n", expected)
#define HOST(value, expected) HEAD("GET / HTTP/1.1\r\nHost: " value "\r\n\r\n", expected)
#define LINE(line, expected) HEAD(line "\r\nHost: a\r\n\r\n", expected)
#define OK "GET path=/ host=a 1.1 keep"
#define PUT_OK "PUT path=/b host=a 1.1 keep"
#define HASH "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static const struct head_case head_cases[] = {
    /* What clients send. */
    LINE("GET / HTTP/1.1", OK),
    HEAD("GET /block/" HASH " HTTP/1.1\r\nHost: 127.0.0.1:10001\r\nUser-Agent: curl/7.88.1\r\n"
         "Accept: */*\r\n\r\n",
         "GET path=/block/" HASH " host=127.0.0.1:10001 1.1 keep"),
    HEAD("PUT /block HTTP/1.1\r\nHost: localhost:10001\r\nAccept: */*\r\nContent-Length: 4096\r\n"
         "Expect: 100-continue\r\n\r\n",
         "PUT path=/block host=localhost:10001 1.1 keep length=4096 expect"),
    HEAD("POST /block HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
         "Content-Type: application/x-www-form-urlencoded\r\n\r\n",
         "POST path=/block host=a 1.1 keep chunked"),
    LINE("HEAD /block/" HASH " HTTP/1.1", "HEAD path=/block/" HASH " host=a 1.1 keep"),
    LINE("DELETE /block/" HASH " HTTP/1.1", "DELETE path=/block/" HASH " host=a 1.1 keep"),
    LINE("GET /blocks?after=&limit=5 HTTP/1.1",
         "GET path=/blocks query=after=&limit=5 host=a 1.1 keep"),
    LINE("GET /blocks? HTTP/1.1", "GET path=/blocks query= host=a 1.1 keep"),
    LINE("GET /a?b?c HTTP/1.1", "GET path=/a query=b?c host=a 1.1 keep"),
    HEAD("GET / HTTP/1.1\r\nhOST:a\r\n\r\n", OK),
    HEAD("GET / HTTP/1.1\r\nHost:\t a \t \r\n\r\n", OK),
    WITH("X:", OK),
    WITH("X:  \t ", OK),
    WITH("X: a\tb c", OK),
    WITH("X: \x80\xff", OK),
    WITH("X: \"a\\\"b\" (c)", OK),
    WITH("!#$%&'*+-.^_`|~09azAZ: x", OK),
    WITH("Content-Length-X: 1", OK),
    WITH("Cookie: a=b\r\nCookie: c=d", OK),
    WITH("X: 1\r\nX: 1", OK),

    /* The empty line before the request line. */
    HEAD("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", OK),
    HEAD("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "400 not an HTTP request"),
    HEAD("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "400 not an HTTP request"),
    HEAD("\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", "400 CR without LF"),
    HEAD(" \r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "400 not an HTTP request"),

    /* Unfinished. */
    HEAD("", "more"),
    HEAD("\r", "more"),
    HEAD("\r\n", "more"),
    HEAD("G", "more"),
    HEAD("GET / HTTP/1.1", "more"),
    HEAD("GET / HTTP/1.1\r", "more"),
    HEAD("GET / HTTP/1.1\r\nHost: a\r\n", "more"),
    HEAD("GET / HTTP/1.1\r\nHost: a\r\n\r", "more"),

    /* Other protocols. */
    HEAD("\x16\x03\x01\x02", "400 not an HTTP request"),
    HEAD("\x80", "400 not an HTTP request"),
    HEAD("\0", "400 not an HTTP request"),
    HEAD("{\"a\":1}", "400 not an HTTP request"),
    HEAD("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505 HTTP version: \"HTTP/2.0\""),
    LINE("DESCRIBE / RTSP/1.0", "400 HTTP version: \"RTSP/1.0\""),
    LINE("DESCRIBE / HTTP/1.1", "501 method: \"DESCRIBE\""),
    LINE("SOURCE / HTTP/1.1", "501 method"),
    LINE("SOURCE / ICE/1.0", "400 HTTP version"),
    LINE("PRI / HTTP/1.1", "501 method"),
    LINE("M-SEARCH * HTTP/1.1", "501 method"),

    /* Request line. */
    HEAD("GET /\r\n\r\n", "400 request line"),
    HEAD("GET\r\n\r\n", "400 request line"),
    LINE("GET  / HTTP/1.1", "400 request line"),
    LINE("GET /  HTTP/1.1", "400 HTTP version"),
    LINE("GET / HTTP/1.1 ", "400 HTTP version"),
    LINE("GET / HTTP/1.1\t", "400 HTTP version"),
    LINE(" GET / HTTP/1.1", "400 not an HTTP request"),
    LINE("GET\t/ HTTP/1.1", "400 request line"),
    LINE("GET /\tHTTP/1.1", "400 request line"),
    LINE("GET / a HTTP/1.1", "400 HTTP version"),
    LINE("GET HTTP/1.1", "400 request line"),
    LINE("GET  HTTP/1.1", "400 request line"),
    LINE("G(T / HTTP/1.1", "400 request line"),
    LINE("GET\0 / HTTP/1.1", "400 request line"),
    LINE("GET:/ HTTP/1.1", "400 request line"),
    HEAD("GET / HTTP/1.1\nHost: a\r\n\r\n", "400 LF without CR"),
    HEAD("GET / HTTP/1.1\r\r\nHost: a\r\n\r\n", "400 HTTP version"),
    HEAD("GET /\r HTTP/1.1\r\nHost: a\r\n\r\n", "400 byte in the target"),

    /* Methods. */
    LINE("get / HTTP/1.1", "501 method: \"get\""),
    LINE("GETT / HTTP/1.1", "501 method"),
    LINE("PATCH / HTTP/1.1", "501 method"),
    LINE("PROPFIND / HTTP/1.1", "501 method"),
    LINE("QUERY / HTTP/1.1", "501 method"),
    LINE("OPTIONS / HTTP/1.1", "REFUSED path=/ host=a 1.1 keep"),
    LINE("OPTIONS * HTTP/1.1", "REFUSED path=* host=a 1.1 keep"),
    LINE("TRACE /a?b HTTP/1.1", "REFUSED path=/a query=b host=a 1.1 keep"),
    LINE("CONNECT b:80 HTTP/1.1", "REFUSED path=b:80 host=a 1.1 close"),
    LINE("CONNECT / HTTP/1.1", "REFUSED path=/ host=a 1.1 close"),
    HEAD("CONNECT b:80 HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n",
         "REFUSED path=b:80 host=a 1.1 close"),

    /* Versions. */
    HEAD("GET / HTTP/1.0\r\n\r\n", "GET path=/ 1.0 close"),
    HEAD("GET / HTTP/1.0\r\nHost: a\r\n\r\n", "GET path=/ host=a 1.0 close"),
    LINE("GET / HTTP/1.2", OK),
    LINE("GET / HTTP/1.9", OK),
    LINE("GET / HTTP/1.10", "400 HTTP version: \"HTTP/1.10\""),
    LINE("GET / HTTP/1.", "400 HTTP version"),
    LINE("GET / HTTP/1", "400 HTTP version"),
    LINE("GET / HTTP/01.1", "400 HTTP version"),
    LINE("GET / HTTP/1,1", "400 HTTP version"),
    LINE("GET / HTTP/a.1", "400 HTTP version"),
    LINE("GET / HTTP/-1.1", "400 HTTP version"),
    LINE("GET / http/1.1", "400 HTTP version"),
    LINE("GET / HTTP1.1", "400 HTTP version"),
    LINE("GET / HTTPS/1.1", "400 HTTP version"),
    LINE("GET / HTTP/0.9", "505 HTTP version"),
    LINE("GET / HTTP/2.0", "505 HTTP version"),
    LINE("GET / HTTP/9.9", "505 HTTP version"),

    /* Targets. */
    LINE("GET /%41%7e HTTP/1.1", "GET path=/%41%7e host=a 1.1 keep"),
    LINE("GET //a//b HTTP/1.1", "GET path=//a//b host=a 1.1 keep"),
    LINE("GET /-._~!$&'()*+,;=:@[] HTTP/1.1", "GET path=/-._~!$&'()*+,;=:@[] host=a 1.1 keep"),
    LINE("GET /a#b HTTP/1.1", "400 fragment in the target"),
    LINE("GET /\xc3\xa9 HTTP/1.1", "400 byte in the target: \"?\""),
    LINE("GET /\x7f HTTP/1.1", "400 byte in the target"),
    LINE("GET /\x01 HTTP/1.1", "400 byte in the target"),
    LINE("GET /\0 HTTP/1.1", "400 byte in the target"),
    LINE("GET /a|b HTTP/1.1", "400 byte in the target: \"|\""),
    LINE("GET /<b> HTTP/1.1", "400 byte in the target: \"<\""),
    LINE("GET /a\\b HTTP/1.1", "400 byte in the target"),
    LINE("GET /%zz HTTP/1.1", "400 percent encoding"),
    LINE("GET /%4 HTTP/1.1", "400 percent encoding"),
    LINE("GET /% HTTP/1.1", "400 percent encoding"),
    LINE("GET * HTTP/1.1", "400 target"),
    LINE("OPTIONS ** HTTP/1.1", "400 target"),
    LINE("GET block HTTP/1.1", "400 target"),
    LINE("GET a:80 HTTP/1.1", "400 target"),
    LINE("GET ?x HTTP/1.1", "400 target"),
    LINE("GET http://b/c?d HTTP/1.1", "GET path=/c query=d host=b 1.1 keep"),
    LINE("GET http://b HTTP/1.1", "GET path=/ host=b 1.1 keep"),
    LINE("GET http://b?d HTTP/1.1", "GET path=/ query=d host=b 1.1 keep"),
    LINE("GET HTTP://B:80/c HTTP/1.1", "GET path=/c host=B:80 1.1 keep"),
    LINE("GET http://[::1]:80/c HTTP/1.1", "GET path=/c host=[::1]:80 1.1 keep"),
    HEAD("GET http://b/c HTTP/1.0\r\n\r\n", "GET path=/c host=b 1.0 close"),
    HEAD("GET http://b/c HTTP/1.1\r\n\r\n", "400 no Host field"),
    LINE("GET http://u@b/c HTTP/1.1", "400 host in the target: \"u@b\""),
    LINE("GET http://u:p@b/c HTTP/1.1", "400 host in the target"),
    LINE("GET http:///c HTTP/1.1", "400 host in the target"),
    LINE("GET http://:80/c HTTP/1.1", "400 host in the target"),
    LINE("GET http://b:x/c HTTP/1.1", "400 host in the target"),
    LINE("GET http://b:65536/c HTTP/1.1", "400 host in the target"),
    LINE("GET http://b/c#d HTTP/1.1", "400 fragment in the target"),
    LINE("GET https://b/c HTTP/1.1", "400 target"),
    LINE("GET ftp://b/c HTTP/1.1", "400 target"),
    LINE("GET http:/b HTTP/1.1", "400 target"),
    LINE("OPTIONS http://b HTTP/1.1", "REFUSED path=/ host=b 1.1 keep"),

    /* Host. */
    HEAD("GET / HTTP/1.1\r\n\r\n", "400 no Host field"),
    HEAD("GET / HTTP/1.1\r\nX: y\r\n\r\n", "400 no Host field"),
    HEAD("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", "400 repeated field: \"Host\""),
    HEAD("GET / HTTP/1.0\r\nHost: a\r\nhost: b\r\n\r\n", "400 repeated field: \"host\""),
    HEAD("GET / HTTP/1.1\r\nHost: a\r\nHost:\r\n\r\n", "400 repeated field"),
    HOST("", "GET path=/ host= 1.1 keep"),
    HOST("a.example:80", "GET path=/ host=a.example:80 1.1 keep"),
    HOST("a:", "GET path=/ host=a: 1.1 keep"),
    HOST("[2001:db8::1]:10001", "GET path=/ host=[2001:db8::1]:10001 1.1 keep"),
    HOST("[::ffff:1.2.3.4]", "GET path=/ host=[::ffff:1.2.3.4] 1.1 keep"),
    HOST("a, b", "400 Host: \"a, b\""),
    HOST("a b", "400 Host"),
    HOST("u@a", "400 Host"),
    HOST("a/b", "400 Host"),
    HOST("http://a", "400 Host"),
    HOST("a:b", "400 Host"),
    HOST("a:-1", "400 Host"),
    HOST("a:65536", "400 Host"),
    HOST("a:99999999999999999999999", "400 Host"),
    HOST("[::1", "400 Host"),
    HOST("[::1]x", "400 Host"),
    HOST("[]", "400 Host"),
    HOST("[::g]", "400 Host"),
    HOST("[1.2.3.4]", "400 Host"),
    HOST("[fe80::1%25eth0]", "400 Host"),
    HOST("::1", "400 Host"),
    HOST("a%41", "400 Host"),
    HOST("\xc3\xa9", "400 Host: \"??\""),

    /* Field lines. */
    HEAD("GET / HTTP/1.1\r\nHost: a\r\nX: y\n\r\n", "400 LF without CR"),
    HEAD("GET / HTTP/1.1\r\nHost: a\r\n\n", "400 LF without CR"),
    HEAD("GET / HTTP/1.1\r\nHost: a\n\n", "400 LF without CR"),
    WITH("X: y\rZ: w", "400 control byte in field: \"X\""),
    WITH("X: y\r\r", "400 control byte in field"),
    WITH("X: a\0b", "400 control byte in field"),
    WITH("X: a\x0b", "400 control byte in field"),
    WITH("X: a\x1f", "400 control byte in field"),
    WITH("X: \x7f", "400 control byte in field"),
    WITH("X: y\r\n z", "400 folded field line"),
    WITH("X: y\r\n\tz", "400 folded field line"),
    WITH("X: y\r\n ", "400 folded field line"),
    HEAD("GET / HTTP/1.1\r\n Host: a\r\n\r\n", "400 folded field line"),
    WITH("X : y", "400 field name"),
    WITH("X\t: y", "400 field name"),
    WITH("Content-Length : 5", "400 field name"),
    WITH(": y", "400 field without a name"),
    WITH(":", "400 field without a name"),
    WITH("X", "400 field line without a colon"),
    WITH("X y: z", "400 field name"),
    WITH("X(: y", "400 field name"),
    WITH("X\0: y", "400 field name"),
    WITH("\xc3\xa9: y", "400 field name"),
    WITH("X\"Y: z", "400 field name"),

    /* Framing. */
    PUT_WITH("Content-Length: 0", PUT_OK " length=0"),
    PUT_WITH("Content-Length:5", PUT_OK " length=5"),
    PUT_WITH("CONTENT-LENGTH: 0005", PUT_OK " length=5"),
    PUT_WITH("Content-Length: \t5  ", PUT_OK " length=5"),
    PUT_WITH("Content-Length: 18446744073709551615", PUT_OK " length=18446744073709551615"),
    PUT_WITH("Content-Length: 18446744073709551616", "400"),
    PUT_WITH("Content-Length: 99999999999999999999999999", "400"),
    PUT_WITH("Content-Length:", "400"),
    PUT_WITH("Content-Length: +5", "400"),
    PUT_WITH("Content-Length: -5", "400"),
    PUT_WITH("Content-Length: 5, 5", "400"),
    PUT_WITH("Content-Length: 5,", "400"),
    PUT_WITH("Content-Length: 5 5", "400"),
    PUT_WITH("Content-Length: 0x5", "400"),
    PUT_WITH("Content-Length: 5_0", "400"),
    PUT_WITH("Content-Length: 5.0", "400"),
    PUT_WITH("Content-Length: 5;", "400"),
    PUT_WITH("Content-Length: \"5\"", "400"),
    PUT_WITH("Content-Length: 5\r\nContent-Length: 5", "400"),
    PUT_WITH("Content-Length: 5\r\nContent-Length: 6", "400"),
    PUT_WITH("Content-Length: 5\r\nTransfer-Encoding: chunked", "400"),
    PUT_WITH("Transfer-Encoding: chunked\r\nContent-Length: 5", "400"),
    PUT_WITH("Transfer-Encoding: gzip\r\nContent-Length: 5", "400"),
    PUT_WITH("Transfer-Encoding: chunked", PUT_OK " chunked"),
    PUT_WITH("transfer-encoding:CHUNKED  ", PUT_OK " chunked"),
    PUT_WITH("Transfer-Encoding: gzip, chunked", "501 Transfer-Encoding: \"gzip, chunked\""),
    PUT_WITH("Transfer-Encoding: chunked, gzip", "400 request head"),
    PUT_WITH("Transfer-Encoding: chunked, chunked", "400 request head"),
    PUT_WITH("Transfer-Encoding: ,chunked", "501 Transfer-Encoding"),
    PUT_WITH("Transfer-Encoding: chunked,", "400 request head"),
    PUT_WITH("Transfer-Encoding: identity", "501 Transfer-Encoding"),
    PUT_WITH("Transfer-Encoding: xchunked", "501 Transfer-Encoding"),
    PUT_WITH("Transfer-Encoding: chunkedx", "501 Transfer-Encoding"),
    PUT_WITH("Transfer-Encoding: \"chunked\"", "501 Transfer-Encoding"),
    PUT_WITH("Transfer-Encoding: chunked;q=1", "501 Transfer-Encoding"),
    PUT_WITH("Transfer-Encoding:", "400 Transfer-Encoding"),
    PUT_WITH("Transfer-Encoding: \x0b"
             "chunked",
             "400 control byte in field"),
    PUT_WITH("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "400"),
    PUT_WITH("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked", "400"),
    HEAD("PUT /b HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "400 Transfer-Encoding with"),
    HEAD("PUT /b HTTP/1.0\r\nTransfer-Encoding: gzip\r\n\r\n", "400 Transfer-Encoding with"),
    HEAD("PUT /b HTTP/1.0\r\nContent-Length: 5\r\n\r\n", "PUT path=/b 1.0 close length=5"),
    WITH("Content-Length: 5", OK " length=5"),

    /* Connection and Upgrade. */
    WITH("Connection: close", "GET path=/ host=a 1.1 close"),
    WITH("Connection: Close", "GET path=/ host=a 1.1 close"),
    WITH("Connection: keep-alive, close", "GET path=/ host=a 1.1 close"),
    WITH("Connection: x,,\tCLOSE ,y", "GET path=/ host=a 1.1 close"),
    WITH("Connection: keep-alive\r\nConnection: close", "GET path=/ host=a 1.1 close"),
    WITH("Connection: closed", OK),
    WITH("Connection:", OK),
    WITH("Proxy-Connection: close", OK),
    HEAD("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", "GET path=/ 1.0 keep"),
    HEAD("GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", "GET path=/ 1.0 close"),
    HEAD("GET / HTTP/1.0\r\nProxy-Connection: keep-alive\r\n\r\n", "GET path=/ 1.0 close"),
    WITH("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA", OK),
    WITH("Connection: Upgrade\r\nUpgrade: websocket", OK),
    PUT_WITH("Connection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 5", PUT_OK " length=5"),
    PUT_WITH("Connection: upgrade\r\nUpgrade: h2c\r\nTransfer-Encoding: chunked",
             PUT_OK " chunked"),

    /* Expectations. */
    PUT_WITH("Content-Length: 5\r\nExpect: 100-Continue", PUT_OK " length=5 expect"),
    PUT_WITH("Expect: 100-continue\r\nTransfer-Encoding: chunked", PUT_OK " chunked expect"),
    PUT_WITH("Expect: 100-continue\r\nContent-Length: 0", PUT_OK " length=0"),
    PUT_WITH("Content-Length: 5\r\nExpect: 100-continue, 100-continue", PUT_OK " length=5 expect"),
    PUT_WITH("Content-Length: 5\r\nExpect: 200-ok", "417 expectation: \"200-ok\""),
    PUT_WITH("Content-Length: 5\r\nExpect: 100-continue, x", "417 expectation: \"x\""),
    PUT_WITH("Content-Length: 5\r\nExpect: 100-continue;a=b", "417 expectation"),
    PUT_WITH("Content-Length: 5\r\nExpect:", PUT_OK " length=5"),
    HEAD("PUT /b HTTP/1.0\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n",
         "PUT path=/b 1.0 close length=5"),
    HEAD("PUT /b HTTP/1.0\r\nContent-Length: 5\r\nExpect: other\r\n\r\n",
         "PUT path=/b 1.0 close length=5"),

    /* Fields of ours. */
    WITH("If-None-Match: *", OK " none-match-any=*"),
    WITH("If-None-Match: \"a\", W/\"b\" ", OK " none-match=\"a\",_W/\"b\""),
    WITH("if-none-match: *, \"a\"", OK " none-match=*,_\"a\""),
    WITH("If-Range: \"a\"\r\nRange: bytes=0-1", OK " if-range=\"a\" range=bytes=0-1"),
    WITH("Authorization: Bearer t", OK " authorization=Bearer_t"),
    PUT_WITH("Content-Length: 1\r\nContent-Encoding: gzip\r\nContent-Range: bytes 0-0/1\r\n"
             "Content-Digest: sha-256=:AA:\r\nRepr-Digest: a=:AA:",
             PUT_OK " length=1 encoding=gzip content-range=bytes_0-0/1 "
                    "content-digest=sha-256=:AA: repr-digest=a=:AA:"),
    WITH("Range: bytes=0-1\r\nRange: bytes=2-3", "400 repeated field: \"Range\""),
    WITH("If-None-Match: \"a\"\r\nIf-None-Match: \"b\"", "400 repeated field"),
    WITH("Authorization: a\r\nAuthorization: a", "400 repeated field"),
    WITH("Content-Encoding:\r\nContent-Encoding: gzip", "400 repeated field"),

    /* The first error in the order of the bytes decides. */
    HEAD("GET / HTTP/1.1\r\nX : y\r\nbad\n", "400 field name"),
    HEAD("PATCH / HTTP/1.1\r\nX : y\r\n\r\n", "501 method"),
    HEAD("GET /\x01 HTTP/3.0\r\n\r\n", "505 HTTP version"),

    /* What follows the head is not looked at. */
    HEAD("GET / HTTP/1.1\r\nHost: a\r\n\r\n\0\n bad", OK),
    HEAD("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nGET", OK),
};

#undef OK
#undef PUT_OK

#endif
