# SPDX-License-Identifier: Apache-2.0
"""Certificates for tests, made by openssl(1): an authority and what it signs."""
import os
import shutil
import subprocess

from bbtest import Skip


def _openssl(*arguments):
    if shutil.which("openssl") is None:
        raise Skip("openssl is not installed")
    done = subprocess.run(("openssl",) + arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"openssl {arguments}: {done.stderr}"


class Identity:
    """A key and a certificate in a folder; signed by `issuer`, or by itself."""

    def __init__(self, folder, name, issuer=None, days=30, key=("ec", "ec_paramgen_curve:P-256")):
        self.name = name
        self.key = os.path.join(folder, name + ".key")
        self.certificate = os.path.join(folder, name + ".crt")
        arguments = ["req", "-x509", "-newkey", key[0], "-pkeyopt", key[1], "-nodes", "-days",
                     str(days), "-subj", "/CN=" + name, "-addext",
                     "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", self.key]
        if issuer is None:
            _openssl(*arguments, "-out", self.certificate)
        else:  # openssl 3.0 signs requests only by another command
            request = os.path.join(folder, name + ".csr")
            extensions = os.path.join(folder, name + ".ext")
            with open(extensions, "w", encoding="ascii") as file:
                file.write("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
            _openssl("req", "-newkey", key[0], "-pkeyopt", key[1], "-nodes", "-subj",
                     "/CN=" + name, "-keyout", self.key, "-out", request)
            _openssl("x509", "-req", "-in", request, "-CA", issuer.certificate, "-CAkey",
                     issuer.key, "-CAcreateserial", "-days", str(days), "-extfile", extensions,
                     "-out", self.certificate)
        os.chmod(self.key, 0o600)
