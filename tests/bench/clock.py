"""Timing whole processes."""

import os
import statistics
import subprocess
import time
from dataclasses import dataclass


@dataclass
class Ran:
    """A process that has ended."""

    seconds: float
    peak_bytes: int  # the largest resident set of it or of one that it waited for
    out: str


def run(command, statuses=(0,), **more):
    """Runs a command to its end; says all that it printed if its status is not among those expected."""
    read, write = os.pipe()
    began = time.monotonic()
    process = subprocess.Popen([str(c) for c in command], stdout=write, stderr=subprocess.STDOUT, **more)
    os.close(write)
    with os.fdopen(read, errors="replace") as pipe:
        out = pipe.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in statuses:
        raise SystemExit(f"{' '.join(str(c) for c in command)}\nended with {process.returncode}:\n{out}")
    return Ran(seconds, usage.ru_maxrss * 1024, out)


def median(times, once, before=lambda: None):
    """Returns the median seconds of what `once` returns; `before` runs before each, and is not counted."""
    seconds = []
    for _ in range(times):
        before()
        seconds.append(once().seconds)
    return statistics.median(seconds)


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
