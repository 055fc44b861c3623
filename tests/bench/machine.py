"""The machine that measures: what it needs, what it is, and its cold caches."""

import datetime
import os
import platform
import re
import shutil
import subprocess

PACKAGES = {
    "sqlite3": "sqlite3",
    "restic": "restic",
    "borg": "borgbackup",
    "rsync": "rsync",
    "xz": "xz-utils",
    "time": "time",
    "mkfs.btrfs": "btrfs-progs",
    "mkfs.xfs": "xfsprogs",
    "filefrag": "e2fsprogs",
}


def install():
    """Installs the peers that are missing."""
    missing = [package for program, package in PACKAGES.items() if not shutil.which(program)]
    if missing:
        subprocess.run(["apt-get", "update", "-qq"], check=True)
        subprocess.run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing], check=True)


def go_cold():
    """Writes everything out and lets go of the page cache."""
    os.sync()
    with open("/proc/sys/vm/drop_caches", "w") as drop:
        drop.write("3")


def about(root):
    """Returns what a reader of the figures must know about where they come from."""
    with open("/proc/cpuinfo") as cpuinfo:
        model = re.search(r"model name\s*: (.*)", cpuinfo.read())
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=root, capture_output=True, text=True)
    versions = [
        first_line(["sqlite3", "--version"]).split(" ")[0:1],
        first_line(["restic", "version"]).split(" ")[1:2],
        first_line(["borg", "--version"]).split(" ")[1:2],
        re.findall(r"version (\S+)", first_line(["rsync", "--version"])),
    ]
    peers = ", ".join(f"{name} {' '.join(v)}" for name, v in zip(["sqlite3", "restic", "borg", "rsync"], versions))
    return [
        f"{datetime.date.today().isoformat()}, commit {commit.stdout.strip() or 'unknown'}",
        f"{os.cpu_count()} cores ({model.group(1) if model else platform.machine()}), {memory_gib:.0f} GiB of memory, "
        f"Linux {platform.release()}, filesystems on loop devices",
        f"peers: {peers}",
    ]


def first_line(command):
    """Returns the first line that a command prints."""
    return (subprocess.run(command, capture_output=True, text=True).stdout.splitlines() or [""])[0]
