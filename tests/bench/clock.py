"""Timing whole processes."""

import os
import statistics
import subprocess
import tempfile
import time
from dataclasses import dataclass


@dataclass
class Ran:
    """A process that has ended."""

    seconds: float
    out: str


def run(command, statuses=(0,), **more):
    """Runs a command to its end; says all that it printed if its status is not among those expected."""
    began = time.monotonic()
    ended = subprocess.run(
        [str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, errors="replace", **more
    )
    seconds = time.monotonic() - began
    if ended.returncode not in statuses:
        said = f"{' '.join(str(c) for c in command)}\nended with {ended.returncode}:\n{ended.stdout}"
        raise SystemExit(said)
    return Ran(seconds, ended.stdout)


def peak_bytes(command, **more):
    """Returns the largest resident set of a command, or of a process that it waited for.

    GNU time starts it: what this program starts itself is counted with the memory of this program, because the
    kernel keeps the high-water mark across `exec`."""
    with tempfile.NamedTemporaryFile("r") as told_kib:
        run(["/usr/bin/time", "-q", "-f", "%M", "-o", told_kib.name, *command], **more)
        return int(told_kib.read()) * 1024


def median(times, once, before=lambda: None):
    """Returns the median seconds of what `once` returns; `before` runs before each, and is not counted. Nor is the first
    round: it grows the disk's image, which whoever runs first would pay for the others."""
    seconds = []
    for _ in range(1 + times):
        before()
        seconds.append(once().seconds)
    return statistics.median(seconds[1:])


def told(seconds):
    """Returns a duration as people read it."""
    if seconds < 1:
        return f"{seconds * 1000:.1f} ms"
    return f"{seconds:.2f} s"


def size(n):
    """Returns a size as people read it."""
    for unit in ["B", "KiB", "MiB", "GiB"]:
        if n < 1024 or unit == "GiB":
            return f"{n:.0f} {unit}" if unit == "B" else f"{n:.1f} {unit}"
        n /= 1024
