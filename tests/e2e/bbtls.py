# SPDX-License-Identifier: Apache-2.0
"""Certificates for tests, made by openssl(1): an authority and what it signs; clients with TLS."""
import os
import shutil
import socket
import ssl
import subprocess

from bbtest import Raw, Skip


def _openssl(*arguments):
    if shutil.which("openssl") is None:
        raise Skip("openssl is not installed")
    done = subprocess.run(("openssl",) + arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"openssl {arguments}: {done.stderr}"


class Identity:
    """A key and a certificate in a folder; signed by `issuer`, or by itself."""

    def __init__(self, folder, name, issuer=None, days=30, key=("ec", "ec_paramgen_curve:P-256"),
                 alt="DNS:localhost,IP:127.0.0.1"):
        self.name = name
        self.key = os.path.join(folder, name + ".key")
        self.certificate = os.path.join(folder, name + ".crt")
        arguments = ["req", "-x509", "-newkey", key[0], "-pkeyopt", key[1], "-nodes", "-days",
                     str(days), "-subj", "/CN=" + name, "-addext",
                     "subjectAltName=" + alt, "-keyout", self.key]
        if issuer is None:
            _openssl(*arguments, "-out", self.certificate)
        else:  # openssl 3.0 signs requests only by another command
            request = os.path.join(folder, name + ".csr")
            extensions = os.path.join(folder, name + ".ext")
            with open(extensions, "w", encoding="ascii") as file:
                file.write(f"subjectAltName={alt}\n")
            _openssl("req", "-newkey", key[0], "-pkeyopt", key[1], "-nodes", "-subj",
                     "/CN=" + name, "-keyout", self.key, "-out", request)
            _openssl("x509", "-req", "-in", request, "-CA", issuer.certificate, "-CAkey",
                     issuer.key, "-CAcreateserial", "-days", str(days), "-extfile", extensions,
                     "-out", self.certificate)
        os.chmod(self.key, 0o600)


def context(authority, version=None, identity=None):
    """For a client that trusts `authority` only."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.load_verify_locations(authority.certificate)
    if version is not None:
        made.minimum_version = made.maximum_version = version
    if identity is not None:
        made.load_cert_chain(identity.certificate, identity.key)
    return made


class Tls(Raw):
    """Raw, with TLS between."""

    def __init__(self, port, made, **kwargs):
        super().__init__(port, **kwargs)
        self.sock = made.wrap_socket(self.sock, server_hostname="localhost",
                                     suppress_ragged_eofs=False)

    def certificate(self):
        return self.sock.getpeercert(binary_form=True)


class Slow:
    """A client whose records are sent by hand."""

    def __init__(self, port, made, timeout=60):
        self.sock = socket.create_connection(("127.0.0.1", port), timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.arrived, self.leaving = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = made.wrap_bio(self.arrived, self.leaving, server_hostname="localhost")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def hello(self):
        """The bytes of a ClientHello."""
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            pass
        return self.leaving.read()

    def _more(self):
        data = self.sock.recv(1 << 16)
        if data:
            self.arrived.write(data)
        else:
            self.arrived.write_eof()

    def until(self, action):
        """Repeats it until it waits for nothing; its result."""
        while True:
            try:
                result = action()
            except ssl.SSLWantReadError:
                self.sock.sendall(self.leaving.read())
                self._more()
                continue
            self.sock.sendall(self.leaving.read())
            return result

    def to_the_end(self):
        """What is received until the server says that nothing follows, and closes."""
        received = b""
        while True:
            try:
                data = self.until(lambda: self.tls.read(1 << 16))
            except ssl.SSLZeroReturnError:
                return received
            if not data:  # close_notify, too
                return received
            received += data
