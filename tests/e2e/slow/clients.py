# SPDX-License-Identifier: Apache-2.0
"""Slow clients by the thousand: one process, one epoll loop, as little work as possible for each."""
import os
import selectors
import socket
import sys
import time

KIB = 1024
TICK = 0.005  # seconds between two rounds over a part of the clients: they have nothing in common
ROUNDS = 200  # every client moves once in so many rounds: once a second


class Slow:
    """Opens a connection, moves a little once a second, begins again when it was ended."""

    step = 1  # bytes at a time

    requests = {}  # as bytes, each made once

    def __init__(self, port, name, size):
        self.port, self.name, self.size = port, name, size
        self.sock, self.data, self.ended = None, memoryview(b""), 0

    def open(self):
        self.sock = socket.socket()
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.sock.setblocking(False)
        self.sock.connect_ex(("127.0.0.1", self.port))
        key = type(self)
        if key not in self.requests:
            self.requests[key] = self.request()
        self.data = memoryview(self.requests[key])

    def request(self):
        raise NotImplementedError

    def close(self):
        if self.sock is not None:
            self.sock.close()
            self.sock = None
            self.ended += 1

    def move(self):
        try:
            if self.sock is None:
                self.open()
            if self.data:
                self.data = self.data[self.sock.send(self.data[:self.step]):]
            else:
                self.read()
        except BlockingIOError:
            pass
        except OSError:
            self.close()

    def read(self):
        """What came back; the end of it begins anew."""
        if not self.sock.recv(4096):
            self.close()

    def check(self):
        """Whether it was ended."""
        if self.sock is None:
            return
        try:
            if not self.sock.recv(1, socket.MSG_PEEK):
                self.close()
        except BlockingIOError:
            pass
        except OSError:
            self.close()


class SlowHead(Slow):
    """A head byte by byte."""

    def request(self):
        return b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX-Filler: " + 500 * b"x"

    def move(self):
        self.check()
        super().move()


class SlowBody(Slow):
    """A body a little above or, every other client, below the rate that is asked for."""

    def __init__(self, port, name, size, rate):
        super().__init__(port, name, size)
        self.step = rate

    def request(self):
        return (b"PUT /block HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % self.size
                + bytes(self.size))

    def move(self):
        self.check()
        super().move()


class SlowReader(Slow):
    """A reply read a little at a time."""

    step = KIB

    def __init__(self, port, name, size, rate):
        super().__init__(port, name, size)
        self.rate = rate

    def request(self):
        return f"GET /block/{self.name} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()

    def read(self):
        if not self.sock.recv(self.rate):
            self.close()


def crowd(port, name, count, size):
    """As many of each kind."""
    made = []
    for number in range(count):
        kind = number % 3
        if kind == 0:
            made.append(SlowHead(port, name, size))
        elif kind == 1:
            made.append(SlowBody(port, name, size, 9 * KIB if number % 2 else 2 * KIB))
        else:
            made.append(SlowReader(port, name, size, 10 * KIB if number % 2 else KIB))
    return made


def uploads(port, count, rate, size):
    return [SlowBody(port, "", size, rate) for _ in range(count)]


def drive(clients, words):
    """Until standard input ends. "on" and "off" there start and stop all."""
    on, part, next_at = False, 0, time.monotonic()
    while True:
        wait = max(0.0, next_at - time.monotonic()) if on else None
        if words.select(wait):
            word = os.read(0, 100).decode().strip()
            if not word:
                return
            on, next_at = word == "on", time.monotonic()
            if not on:
                ended = sum(client.ended for client in clients)
                for client in clients:
                    client.close()
                    client.ended = 0
            print(0 if on else ended, flush=True)
            continue
        for client in clients[part::ROUNDS]:
            client.move()
        part = (part + 1) % ROUNDS
        next_at = max(next_at + TICK, time.monotonic() - 1)


def main():
    kind, port, name, count, size = sys.argv[1:]
    if kind == "crowd":
        clients = crowd(int(port), name, int(count), int(size))
    else:
        clients = uploads(int(port), int(count), 8 * KIB + 256, int(size))
    with selectors.DefaultSelector() as words:
        words.register(0, selectors.EVENT_READ)
        drive(clients, words)


if __name__ == "__main__":
    main()
