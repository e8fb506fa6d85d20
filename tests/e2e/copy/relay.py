# SPDX-License-Identifier: Apache-2.0
"""A TLS listener in front of a plain one, as a terminator is: for clients."""
import select
import socket
import ssl
import subprocess
import threading


def certificate(place, name, alt):
    """A self-signed one and its key, in one file: its path."""
    path = f"{place}/{name}.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", f"/CN={name}",
                    "-addext", f"subjectAltName={alt}", "-keyout", path + ".key", "-out", path],
                   check=True, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return path


class Relay:
    """Listens on `port` of 127.0.0.1 and hands all that comes on to another port."""

    def __init__(self, port, behind, path, oldest=ssl.TLSVersion.TLSv1_2):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = oldest
        self.context.load_cert_chain(path, path + ".key")
        self.behind, self.count = behind, 0
        self.listener = socket.create_server(("127.0.0.1", port), backlog=64)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                plain, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(plain,), daemon=True).start()

    def serve(self, plain):
        """One thread for both directions, as OpenSSL wants it: requests and replies alternate."""
        try:
            with self.context.wrap_socket(plain, server_side=True) as front, \
                    socket.create_connection(("127.0.0.1", self.behind)) as back:
                self.count += 1
                while True:
                    ready = select.select([front, back], [], [])[0] if not front.pending() \
                        else [front]
                    for side in ready:
                        data = side.recv(1 << 16)
                        if not data:
                            return
                        (back if side is front else front).sendall(data)
        except OSError:
            plain.close()

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
