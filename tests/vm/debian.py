# SPDX-License-Identifier: Apache-2.0
"""What the virtual machine is made of: Debian packages, fetched once into build/vm.

Only the emulator and what makes file systems are installed on the host.  Kernel and busybox are
unpacked, never installed; the system is what debootstrap makes of its packages.
"""
import glob
import hashlib
import os
import re
import shutil
import subprocess
import typing

KERNEL_META = "linux-image-cloud-amd64"
HOST_PACKAGES = "qemu-system-x86 libc-bin"
SYSTEM_HOST_PACKAGES = "debootstrap e2fsprogs gdisk dpkg-dev"
RELEASE = "bookworm"
# What somebody has on a small server, and what our package depends on; the package itself is
# installed in the machine.
SYSTEM_PACKAGES = ["systemd", "systemd-sysv", "udev", "dbus", "kmod", "curl", "gdisk", "iproute2",
                   "libblkid1", "libinih1", "libjansson4", "liblmdb0", "libssl3", "liburing2"]


class Kernel(typing.NamedTuple):
    version: str
    image: str
    modules: str  # folder that holds kernel/


def prepare(top, cache):
    """Gets what is missing; a reason why there can be no machine, or None."""
    machine = os.uname().machine
    if machine != "x86_64":
        return f"the machine is made of amd64 packages, this is {machine}"
    if not install(top, cache, HOST_PACKAGES):
        return "the emulator cannot be installed"
    for name, find in (("kernel", kernel_package), ("busybox", lambda: "busybox-static")):
        if not os.path.isdir(os.path.join(cache, name)) and not fetch(cache, name, find):
            return f"the package of the {name} cannot be fetched"
    return None


def install(top, cache, packages):
    script = f". tests/lib/packages.sh; bb_packages_install {packages}"
    environment = dict(os.environ, BB_PACKAGES_LOG=os.path.join(cache, "packages.log"))
    return subprocess.run(["bash", "-c", script], cwd=top, env=environment,
                          check=False).returncode == 0


def system(top, cache, parts, make):
    """Path of the image of a small Debian with systemd and udev, made once for these parts; None when
    it cannot be made here.  make(folder, path) adds the parts and packs the folder into the image."""
    key = hashlib.sha256(repr((RELEASE, SYSTEM_PACKAGES, parts)).encode()).hexdigest()[:12]
    path = os.path.join(cache, f"system-{key}.img")
    if os.path.exists(path):
        return path
    if os.geteuid() != 0 or not install(top, cache, SYSTEM_HOST_PACKAGES):
        return None
    for old in glob.glob(os.path.join(cache, "system-*")):
        os.unlink(old)
    folder = os.path.join(cache, "system.partial")
    shutil.rmtree(folder, ignore_errors=True)
    print(f"making a Debian {RELEASE} of {len(SYSTEM_PACKAGES)} packages and what they need", flush=True)
    log = os.path.join(cache, "debootstrap.log")
    with open(log, "wb") as said:
        if subprocess.run(["debootstrap", "--variant=minbase", "--include=" + ",".join(SYSTEM_PACKAGES),
                           RELEASE, folder], stdout=said, stderr=said, check=False).returncode != 0:
            print(f"debootstrap fails, see {log}", flush=True)
            return None
    make(folder, path + ".partial")
    os.rename(path + ".partial", path)
    shutil.rmtree(folder)
    return path


def kernel_package():
    """The package that the newest kernel of this Debian is in."""
    depends = subprocess.run(["apt-cache", "depends", KERNEL_META], stdout=subprocess.PIPE, text=True,
                             check=False).stdout
    found = re.search(r"Depends: (linux-image-\S+)", depends)
    return found and found.group(1)


def fetch(cache, name, find):
    """Unpacks the package that find() names into cache/name, complete or not at all."""
    subprocess.run(["apt-get", "-qq", "update"], check=False)
    package = find()
    if not package:
        return False
    partial = os.path.join(cache, name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    os.makedirs(os.path.join(partial, "deb"))
    print(f"fetching {package}", flush=True)
    download = ["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", package]
    if subprocess.run(download, cwd=os.path.join(partial, "deb"), check=False).returncode != 0:
        return False
    for file in os.listdir(os.path.join(partial, "deb")):
        subprocess.run(["dpkg-deb", "-x", os.path.join(partial, "deb", file), partial], check=True)
    shutil.rmtree(os.path.join(partial, "deb"))
    os.rename(partial, os.path.join(cache, name))
    return True


def kernel(cache):
    boot = os.path.join(cache, "kernel/boot")
    image = next(name for name in os.listdir(boot) if name.startswith("vmlinuz-"))
    version = image.removeprefix("vmlinuz-")
    return Kernel(version, os.path.join(boot, image),
                  os.path.join(cache, "kernel/lib/modules", version))


def busybox(cache):
    return os.path.join(cache, "busybox/bin/busybox")
