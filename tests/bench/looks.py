"""What looking costs: an unchanged store, a changed one, many files."""

import hashlib
import json
import os
import pathlib
import sqlite3
import statistics
import time

import clock
import machine
import store
from clock import size, told
from table import Row
from tool import Tool

CHECK = ("check",)


def unchanged(disk, tools, sizes):
    """A whole process that finds out that nothing was written since the last full look."""
    tool, database = guarded(disk, tools, sizes.database_bytes)
    # Times younger than two seconds may hide a later write: such a look is not let stand.
    time.sleep(2.2)
    precheck(tool)
    report = json.loads(precheck(tool, "--json").out)
    if report["guards"][0]["stores"][0]["checked"] != "standing":
        raise SystemExit(f"the look at {database} does not stand")
    nothing = clock.median(20 * sizes.runs, lambda: clock.run(["/bin/true"]))
    peers = f"`/bin/true` {told(nothing)}"
    ours = clock.median(20 * sizes.runs, lambda: precheck(tool))
    yield Row("`check` of an unchanged store", disk.kind, told(ours), peers, "< 5 ms", ours < 0.005)
    # A start is written down as well, and synced.
    ours = clock.median(20 * sizes.runs, lambda: precheck(tool, "--at", "start", "webui"))
    yield Row("`check --at start` of an unchanged store", disk.kind, told(ours), peers, "", None)


def changed(disk, tools, sizes):
    """A full look at a store of which one row was changed, against reading it once and having SQLite check it warm."""
    tool, database = guarded(disk, tools, sizes.database_bytes)
    integrity = ["sqlite3", database, "PRAGMA integrity_check"]

    def change():
        db = sqlite3.connect(database, isolation_level=None)
        db.execute("update chat set user = user || 'x' where id = 7")
        db.close()
        machine.go_cold()

    ours, theirs = [], []
    for _ in range(sizes.runs):
        change()
        ours.append(precheck(tool).seconds)
        machine.go_cold()
        read = clock.run(["sh", "-c", f"cat {database} >/dev/null"]).seconds
        theirs.append(read + clock.run(integrity).seconds)
    mine, their = statistics.median(ours), statistics.median(theirs)
    peers = f"`cat` cold + `integrity_check` warm {told(their)} ({mine / their:.2f}x)"
    work = f"`check` of a changed store, {size(sizes.database_bytes)}, cold"
    yield Row(work, disk.kind, told(mine), peers, "<= 1.2x", mine <= 1.2 * their)
    change()
    peak = tool.peak_bytes(*CHECK, tool="aidb-precheck")
    reached = peak < 64 << 20
    work = f"peak memory of `check`, {size(sizes.database_bytes)}"
    yield Row(work, disk.kind, size(peak), "", "< 64 MiB", reached)


def scan(disk, tools, sizes):
    """A look at a folder of many files: an Ollama store of small blobs, all of them named by manifests."""
    home = store.home(disk)
    data = home / "ollama"
    blobs(data / "models", sizes.files)
    stores = {"models": {"kind": "ollama", "path": "models"}}
    settings = store.settings(home / "stack.json", home / "vault", {"ollama": {"data": str(data), "stores": stores}})
    tool = Tool(tools, settings)
    listed = clock.median(sizes.runs, lambda: clock.run(["sh", "-c", f"find {data} -type f -size -9 >/dev/null"]))
    ours = clock.median(sizes.runs, lambda: precheck(tool))
    peers = f"`find -size` {told(listed)} ({ours / listed:.2f}x)"
    yield Row(f"`check` of {sizes.files} files", disk.kind, told(ours), peers, "< 1 s", ours < 1)


def guarded(disk, tools, size_bytes):
    """Returns a home with one guarded database in rollback mode."""
    home = store.home(disk)
    data = home / "webui"
    store.database(data / "webui.db", size_bytes, "delete")
    settings = store.settings(home / "stack.json", home / "vault", {"webui": store.guarded_database(data)})
    return Tool(tools, settings), data / "webui.db"


def precheck(tool, *words):
    return tool.run(*CHECK, *words, tool="aidb-precheck")


def blobs(models, count):
    """Makes blobs of one byte under the names of some hash, and manifests that name a hundred each."""
    folder = models / "blobs"
    manifests = models / "manifests" / "registry.ollama.ai" / "library" / "bench"
    for path in [folder, manifests]:
        path.mkdir(parents=True)
    layers = []
    for number in range(count):
        name = hashlib.sha256(str(number).encode()).hexdigest()
        pathlib.Path(folder / f"sha256-{name}").write_bytes(b"x")
        layers.append({"mediaType": "application/vnd.ollama.image.model", "digest": f"sha256:{name}", "size": 1})
    for first in range(0, count, 100):
        manifest = {"schemaVersion": 2, "config": layers[first], "layers": layers[first + 1 : first + 100]}
        (manifests / f"{first}b").write_text(json.dumps(manifest))
    os.sync()
