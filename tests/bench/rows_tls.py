# SPDX-License-Identifier: Apache-2.0
"""Row 14: the price of TLS. The same daemon, the same client, one port without and one with it, in
turns; certificates on a curve, TLS 1.3. The client pays for it too, on the same processors."""
import os

import machine
from bench import KIB4, ONE_WORKER
from machine import KIB
from result import system_note
from rows import latency_note

NGINX_TLS = "nginx static 4k, TLS"


def certificate(folder):
    """Paths of a certificate for 127.0.0.1 and of its key."""
    paths = os.path.join(folder, "tls.crt"), os.path.join(folder, "tls.key")
    if not os.path.exists(paths[0]):
        machine.run(machine.need_program("openssl", "openssl"), "req", "-x509", "-newkey", "ec",
                    "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj",
                    "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", paths[1],
                    "-out", paths[0])
        os.chmod(paths[1], 0o600)
    return paths


def both_ports(bench, size):
    """PUT and GET of fresh blocks, without and with TLS."""
    chain, key = certificate(bench.folder)
    port = machine.free_port()
    bench.new_store(*(ONE_WORKER if size == KIB4 else ()), "--listen-tls", f"127.0.0.1:{port}",
                    "--tls-certificate", chain, "--tls-key", key)
    secured = ("--url", f"https://127.0.0.1:{port}", "--ca", chain)
    found = {}
    for suffix, options in (("", ()), (" TLS", secured)):
        phases = bench.store.bench("--ops", "put,get", "--size", size, "--seconds", bench.seconds,
                                   "--requests", bench.blocks_that_fit(size, 0.4), *options)
        for name in ("put", "get"):
            value = None if size == KIB4 else phases[name].mib_per_s
            found[name + suffix] = bench.sample(phases[name], value)
    bench.stop()
    return found


def row_14(bench, size, name, others):
    series = bench.interleave(lambda: both_ports(bench, size), others,
                              unit="/s" if size == KIB4 else "MiB/s")
    for verb in ("put", "get"):
        ours = series[verb + " TLS"]
        bench.compare(14, f"{verb.upper()} {name}, TLS beside plain", series, verb,
                      ours=verb + " TLS", note=f"{system_note(ours)}; {latency_note(ours)}")
    return series


def row_14_4k(bench):
    """4 KiB, GET beside nginx with the same certificate too."""
    chain, key = certificate(bench.folder)
    series = row_14(bench, KIB4, "4 KiB",
                    {NGINX_TLS: lambda: bench.nginx.static_4k_tls(chain, key)})
    bench.compare(14, "GET 4 KiB, TLS", series, NGINX_TLS, ours="get TLS")


def row_14_512k(bench):
    """512 KiB."""
    row_14(bench, 512 * KIB, "512 KiB", {})
