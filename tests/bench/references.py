# SPDX-License-Identifier: Apache-2.0
"""What our figures are compared with on the same machine: the device itself (fio), a processor that
hashes (OpenSSL), a web server (nginx), a store in memory with a durable log (Redis).

Each method measures once and returns a Sample, or raises Unable when the program is missing. Servers
are started for one measurement and ended after it, so that nothing else runs beside ours.
"""
import json
import os
import re
import shutil
import subprocess
import time

import machine
from machine import GIB, Unable
from result import Sample

CONNECTIONS = 64
REDIS_KEYS = 1000000


def versions():
    """Of those that are installed."""
    found = {}
    for name, options in (("fio", ["--version"]), ("openssl", ["version"]), ("nginx", ["-v"]),
                          ("redis-server", ["--version"]), ("ceph-osd", ["--version"])):
        path = machine.find_program(name)
        if path:
            done = machine.run(path, *options, check=False)
            number = re.search(r"\d+(\.\d+)+\w*", done.out + done.err)
            found[name] = number.group(0) if number else "?"
    return found


class Fio:
    """The bare device through io_uring with fixed buffers: the most that there is. Works on an area
    that the store does not use, or reads where the store's blocks are, since who is below the device may
    have what was written last in a cache: with other places fio's reads are three times as fast or as
    slow. guard(own) raises when the area is in use. apart: on a device of its own."""

    def __init__(self, path, offset, size, seconds, guard, apart=False):
        self.path, self.offset, self.size, self.apart = path, offset, size, apart
        self.seconds, self.guard = seconds, guard

    def job(self, direction, *options, place=None):
        """fio's report, the direction's part of it, and operations per second with processor time per
        operation. place: (offset, bytes) on the store's device, to be read only."""
        program = machine.need_program("fio", "fio")
        offset, size = self.offset, self.size
        if place is not None and not self.apart:
            assert direction == "read"
            offset, size = place
        self.guard(place is None)
        busy = machine.busy_us()
        done = machine.run(
            program, "--name=x", f"--filename={self.path}", f"--offset={offset}",
            f"--size={size}", "--direct=1", "--ioengine=io_uring", "--fixedbufs=1",
            "--registerfiles=1", f"--runtime={self.seconds}", "--time_based=1", "--randrepeat=0",
            "--lat_percentiles=1", "--output-format=json", "--allow_file_create=0", *options)
        busy = machine.busy_us() - busy
        report = json.loads(done.out[done.out.index("{"):])["jobs"][0]
        part = report[direction]
        count = max(part["total_ios"], 1)
        return report, part, Sample(part["iops"], cpu=done.cpu_us / count, machine=busy / count)

    def random_write(self):
        return self.job("write", "--rw=randwrite", "--bs=4k", "--iodepth=32", "--fdatasync=32")[2]

    def random_write_beside_reads(self, place, depth):
        """The same while another fio reads at random from `place`."""
        offset, size = (self.offset, self.size) if self.apart else place
        with subprocess.Popen(
                [machine.need_program("fio", "fio"), "--name=r", f"--filename={self.path}",
                 f"--offset={offset}", f"--size={size}", "--direct=1", "--ioengine=io_uring",
                 "--rw=randread", "--bs=4k", f"--iodepth={depth}", "--time_based=1",
                 f"--runtime={self.seconds + 3}", "--randrepeat=0", "--allow_file_create=0"],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL) as reader:
            try:
                time.sleep(1)
                return self.random_write()
            finally:
                reader.terminate()

    def random_read(self, place=None):
        return self.job("read", "--rw=randread", "--bs=4k", "--iodepth=64", place=place)[2]

    def durable_write_p50(self):
        """Median microseconds of a 4 KiB write and its fdatasync, one at a time."""
        report, part, sample = self.job("write", "--rw=randwrite", "--bs=4k", "--iodepth=1",
                                        "--fdatasync=1")
        sample.more["per_second"] = sample.value
        # From submission on: what io_uring_enter does itself is time that a writer waits for too.
        sample.value = (part["lat_ns"]["percentile"]["50.000000"]
                        + report["sync"]["lat_ns"]["percentile"]["50.000000"]) / 1e3
        return sample

    def mix_tail(self, reads, writes, size):
        """99.9 % of reads took so many milliseconds or less while the bare device was given so many reads
        and writes per second, each eighth write with an fdatasync: what it stalls by itself."""
        report, part, sample = self.job(
            "read", "--rw=randrw", f"--rwmixread={100 * reads // (reads + writes)}", f"--bs={size}",
            f"--rate_iops={reads},{writes}", "--iodepth=32", "--fdatasync=8")
        sample.value = part["lat_ns"]["percentile"]["99.900000"] / 1e6
        sample.more["reached"] = (part["iops"] + report["write"]["iops"]) / (reads + writes)
        return sample

    def large_read(self, place=None):
        """MiB per second of sequential 1 MiB reads."""
        return self.job("read", "--rw=read", "--bs=1M", "--iodepth=8", place=place)[2]


def sha256(size, seconds, env=None):
    """MiB per second that one core hashes, in pieces of `size`."""
    program = machine.need_program("openssl", "openssl")
    done = machine.run(program, "speed", "-bytes", size, "-seconds", max(1, min(seconds, 2)),
                       "-evp", "sha256", env=env)
    found = re.findall(r"^sha256\s+([\d.]+)k", done.out, re.M | re.I)
    if not found:
        raise Unable("openssl speed said nothing that could be read")
    return Sample(float(found[-1]) * 1000 / machine.MIB)


class Nginx:
    """One worker, asked by bbbench, the same client as ours."""

    CONFIG = """
{user} worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx.err;
events {{ worker_connections 1024; }}
http {{
  access_log off; sendfile on; keepalive_requests 100000000; open_file_cache max=1000;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/t1; fastcgi_temp_path {folder}/t2;
  uwsgi_temp_path {folder}/t3; scgi_temp_path {folder}/t4;
  server {{
    listen 127.0.0.1:{port} reuseport{tls}; root {folder}/www;
    location = /nothing {{ return 204; }}
    location /put/ {{
      dav_methods PUT DELETE; create_full_put_path on;
      client_max_body_size 2m; client_body_buffer_size 1m;
    }}
  }}
}}
"""

    def __init__(self, bbbench, folder, seconds):
        self.bbbench, self.base, self.seconds = bbbench, folder, seconds

    def measure(self, op, path, certificate=None):
        program = machine.need_program("nginx", "nginx-light")
        folder = machine.new_folder(self.base, "nginx")
        os.makedirs(f"{folder}/www/put")
        with open(f"{folder}/www/f4k", "wb") as file:
            file.write(os.urandom(4096))
        port = machine.free_port()
        user = "user root;" if os.geteuid() == 0 else ""
        tls, scheme = "", "http"
        if certificate is not None:
            scheme = "https"
            tls = " ssl; ssl_certificate {}; ssl_certificate_key {}".format(*certificate)
        machine.write_text(f"{folder}/nginx.conf",
                           self.CONFIG.format(user=user, folder=folder, port=port, tls=tls))
        server = machine.start([program, "-p", folder, "-c", f"{folder}/nginx.conf",
                                "-e", f"{folder}/nginx.err"], f"{folder}/log")
        try:
            machine.wait_until(lambda: machine.port_answers(port) or server.poll() is not None,
                               "nginx")
            workers = machine.children_of(server.pid)
            if not workers:
                raise Unable(f"nginx does not start: {machine.read_text(folder + '/nginx.err')}")
            done = machine.run(self.bbbench, "--url", f"{scheme}://127.0.0.1:{port}", "--insecure",
                               "--json", "--connections", CONNECTIONS, "--seconds", self.seconds,
                               "--ops", op, "--path", path, "--pid", workers[0])
            found = json.loads(done.out.splitlines()[0])
        finally:
            machine.end(server)
            if op != "upload":  # ext4 is slow to make files after many were removed: at the end
                shutil.rmtree(folder, True)
            os.sync()  # what it leaves to be written is not ours to wait for
        return Sample(found["operations_per_s"], cpu=found["server_cpu_us_per_op"],
                      client=found["client_cpu_us_per_op"], workers=1,
                      machine=found["machine_cpu_us_per_op"])

    def static_4k(self):
        """A file of 4 KiB from the page cache."""
        return self.measure("plain", "/f4k")

    def static_4k_tls(self, certificate, key):
        """The same with TLS."""
        return self.measure("plain", "/f4k", (certificate, key))

    def no_content(self):
        """204 and nothing else."""
        return self.measure("plain", "/nothing")

    def dav_put_4k(self):
        """Files of 4 KiB, not durable."""
        return self.measure("upload", "/put/")


class Redis:
    """SET of 4 KiB, every one fsynced before its reply, asked by its own client."""

    def __init__(self, folder, seconds):
        self.base, self.seconds = folder, seconds

    def durable_set_4k(self):
        server_program = machine.need_program("redis-server", "redis-server")
        client = machine.need_program("redis-benchmark", "redis-tools")
        count = self.seconds * 30000
        if machine.memory_available() < min(count, REDIS_KEYS) * 6000 + GIB // 2:
            raise Unable("Redis: not enough memory")
        folder, port = machine.new_folder(self.base, "redis"), machine.free_port()
        server = machine.start(
            [server_program, "--port", port, "--bind", "127.0.0.1", "--dir", folder, "--daemonize",
             "no", "--appendonly", "yes", "--appendfsync", "always",
             "--auto-aof-rewrite-percentage", "0", "--save", ""], f"{folder}/log")
        try:
            machine.wait_until(lambda: machine.port_answers(port) or server.poll() is not None,
                               "redis-server")
            if server.poll() is not None:
                raise Unable(f"Redis does not start: {machine.read_text(folder + '/log')[-300:]}")
            used, busy = machine.cpu_of([server.pid]), machine.busy_us()
            done = machine.run(client, "-p", port, "-d", 4096, "-t", "set", "-c", CONNECTIONS, "-n",
                               count, "-r", REDIS_KEYS, "--csv")
            used, busy = machine.cpu_of([server.pid]) - used, machine.busy_us() - busy
        finally:
            server.kill()  # nothing of it is kept
            server.wait()
            shutil.rmtree(folder, True)
            os.sync()
        rate = re.search(r'^"SET","([\d.]+)"', done.out, re.M)
        if not rate:
            raise Unable(f"redis-benchmark: nothing that could be read: {done.out[-200:]}")
        return Sample(float(rate.group(1)), cpu=used / count, client=done.cpu_us / count,
                      machine=busy / count, workers=1)
