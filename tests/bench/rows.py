"""What is measured: each entry of `ALL` is a piece of work, the filesystems it is done on, and how."""

import os
import pathlib
import shutil
import statistics
import time
from dataclasses import dataclass
from typing import Callable

import clock
import looks
import machine
import store
from clock import told
from table import Row
from tool import Tool


@dataclass(frozen=True)
class Work:
    """A piece of work, and where it is done."""

    filesystems: tuple[str, ...]
    measure: Callable


def database_home(disk, tools, sizes, journal="wal", text_bytes=store.TEXT_BYTES):
    """Returns a home with one guarded database, made of so much text."""
    home = store.home(disk)
    data = home / "webui"
    store.database(data / "webui.db", sizes.database_bytes, journal, text_bytes)
    settings = store.settings(home / "stack.json", home / "vault", {"webui": store.guarded_database(data)})
    return Tool(tools, settings), data / "webui.db"


def compare(work, where, ours, peers, reach, reached):
    """Returns a row of durations: ours, those of peers, and the ratio to each."""
    said = ", ".join(f"{name} {told(s)} ({ours / s:.2f}x)" for name, s in peers.items())
    return Row(work, where, told(ours), said, reach, reached)


def live_capture(disk, tools, sizes):
    """How long writers are kept waiting by a capture, idle and under a writer; compact and in many extents."""
    tool, database = database_home(disk, tools, sizes)

    def blocked(reason):
        tool.forget_snapshots()
        return tool.take(reason)["blocked_ms"]

    for shape, bounded in [("compact", True), ("fragmented", False)]:
        if shape == "fragmented":
            tool.take("shared")
            store.rewrite_pages(database, sizes.fragments)
        where = f"{disk.kind}, {store.extents(database)} extents"
        idle = statistics.median(blocked("idle") for _ in range(sizes.runs))
        reached = idle < 5 if bounded else None
        yield Row("live capture, idle: `blocked_ms`", where, f"{idle} ms", "", "< 5 ms" if bounded else "", reached)
        with store.Writer(database, 20) as writer:
            busy = statistics.median(blocked("busy") for _ in range(sizes.runs))
        waited = f"longest commit of {writer.commits}: {told(writer.longest_seconds)}"
        reached = busy < 30 if bounded else None
        work = "live capture, 20 commits/s: `blocked_ms`"
        yield Row(work, where, f"{busy} ms", waited, "< 30 ms" if bounded else "", reached)


def rollback_writer(disk, tools, sizes):
    """How long a writer in rollback mode is kept waiting where blocks cannot be shared."""
    tool, database = database_home(disk, tools, sizes, "delete")
    found = []
    with store.Writer(database, 20) as writer:
        for _ in range(sizes.runs):
            tool.forget_snapshots()
            found.append(tool.take("rollback", statuses=(0, 4)))
    blocked = [snapshot["blocked_ms"] for snapshot in found if snapshot]
    busy = len(found) - len(blocked)
    if not blocked:
        yield Row("rollback-mode writer blocked", disk.kind, f"{busy} of {busy} busy", "", "< 300 ms", False)
        return
    figure = f"{statistics.median(blocked)} ms, at most {max(blocked)} ms, {busy} gave up"
    waited = f"longest commit of {writer.commits}: {told(writer.longest_seconds)}"
    reached = statistics.median(blocked) < 300 and max(blocked) < 2000
    yield Row("rollback-mode writer blocked, warm", disk.kind, figure, waited, "< 300 ms, never over 2 s", reached)


def take(disk, tools, sizes):
    """A snapshot before a stop, as a whole process, against the ways that people take copies."""
    tool, database = database_home(disk, tools, sizes)
    home = tool.settings.parent
    where = disk.kind

    def clear():
        tool.forget_snapshots()
        for left in ["backup.db", "copy"]:
            path = home / left
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
        os.sync()
        warm(database)

    ours = clock.median(sizes.runs, lambda: tool.run("take", "--unproven", "--reason", "stop"), clear)
    backup = clock.median(
        sizes.runs, lambda: clock.run(["sqlite3", database, f".backup {home}/backup.db"]), clear
    )
    copy = f"cp -a {database.parent} {home}/copy && sync -f {home}/copy"
    cp = clock.median(sizes.runs, lambda: clock.run(["sh", "-c", copy]), clear)
    peers = {"`sqlite3 .backup`": backup, "`cp -a && sync -f`": cp}
    if disk.kind == "ext4":
        restic = restic_of(home)
        clear()
        first = restic("backup", database.parent).seconds
        peers["`restic`, first"] = first
        reach = "<= 1.2x `cp && sync -f`, < `.backup`, 2x faster than restic"
        reached = ours <= 1.2 * cp and ours < backup and 2 * ours <= first
    else:
        reach, reached = "100x faster than `.backup`", 100 * ours <= backup
    clear()
    borg = borg_of(home)
    peers["`borg`, first"] = borg("create", "::first", database.parent).seconds
    yield compare("`take --unproven`", where, ours, peers, reach, reached)
    if disk.kind != "ext4":
        clear()
        tool.take("shared")
        store.rewrite_pages(database, sizes.fragments)
        ours = clock.median(sizes.runs, lambda: tool.run("take", "--unproven", "--reason", "stop"), clear)
        yield compare("`take --unproven`", f"{where}, {store.extents(database)} extents", ours, {}, "", None)


def prove(disk, tools, sizes):
    """Opening and checking a snapshot, against reading it once and having SQLite check it."""
    tool, database = database_home(disk, tools, sizes)
    peer = tool.settings.parent / "peer.db"
    cat = f"cat {peer} >/dev/null"
    check = ["sqlite3", peer, "PRAGMA integrity_check"]

    def unproven():
        tool.forget_snapshots()
        tool.run("take", "--unproven", "--reason", "stop")
        machine.go_cold()

    ours, theirs = [], []
    for _ in range(sizes.runs):
        unproven()
        ours.append(tool.run("prove").seconds)
        peer.unlink(missing_ok=True)
        for suffix in ["", "-wal"]:
            shutil.copyfile(f"{database}{suffix}", f"{peer}{suffix}")
        clock.run(["sqlite3", peer, "PRAGMA wal_checkpoint(TRUNCATE)"])
        machine.go_cold()
        theirs.append(clock.run(["sh", "-c", cat]).seconds + clock.run(check).seconds)
    ours, theirs = statistics.median(ours), statistics.median(theirs)
    yield compare("`prove`", disk.kind, ours, {"`cat` cold + `integrity_check` warm": theirs}, "<= 1.3x", ours <= 1.3 * theirs)


def unchanged(disk, tools, sizes):
    """A stack of which nothing changed since the last proven snapshot."""
    home = store.home(disk)
    store.database(home / "webui" / "webui.db", sizes.database_bytes, "delete")
    store.models(home / "ollama", sizes.blobs, sizes.blob_bytes)
    ollama = {"data": str(home / "ollama"), "stores": {"models": {"kind": "ollama", "path": "models"}}}
    guards = {"webui": store.guarded_database(home / "webui"), "ollama": ollama}
    tool = Tool(tools, store.settings(home / "stack.json", home / "vault", guards))
    tool.run("verify", "--read-all", statuses=(0, 1, 2, 3))  # there is nothing yet; the first run of the programs
    time.sleep(3)  # what changed within two seconds of a capture counts as changed
    tool.run("take")
    time.sleep(3)
    tool.run("take")
    before = disk.used_bytes()
    ran = [tool.run("take") for _ in range(4 * sizes.runs)]
    after = disk.used_bytes()
    ours = statistics.median(r.seconds for r in ran)
    restic = restic_of(home)
    restic("backup", home / "webui", home / "ollama")
    theirs = clock.median(sizes.runs, lambda: restic("backup", home / "webui", home / "ollama"))
    borg = borg_of(home)
    borg("create", "::first", home / "webui", home / "ollama")
    names = iter(range(1000))
    bo = clock.median(sizes.runs, lambda: borg("create", f"::again-{next(names)}", home / "webui", home / "ollama"))
    copy = home / "rsynced"
    rsync = ["rsync", "-a", home / "webui", home / "ollama", copy]
    clock.run(rsync)
    rs = clock.median(sizes.runs, lambda: clock.run(rsync))
    grown = snapshots_bytes(tool)
    figure = f"{told(ours)}, {grown} new bytes by the report, {max(0, after - before)} on the disk"
    peers = {"`restic`": theirs, "`borg`": bo, "`rsync -a`": rs}
    said = ", ".join(f"{name} {told(s)} ({ours / s:.3f}x)" for name, s in peers.items())
    reached = ours < 0.020 and grown == 0 and 20 * ours <= theirs
    yield Row("unchanged stack with blobs: `take`", disk.kind, figure, said, "< 20 ms, 0 new bytes, 20x faster than restic", reached)


def snapshots_bytes(tool):
    """Returns the new bytes that one more run of an unchanged stack reports."""
    return sum(snapshot["new_bytes"] for snapshot in tool.json("take").get("snapshots", []))


def changed_pages(disk, tools, sizes):
    """What a snapshot costs after one page in a hundred changed."""
    tool, database = database_home(disk, tools, sizes, "delete")
    tool.run("take")
    pages = os.path.getsize(database) // store.PAGE_BYTES
    store.change_rows(database, pages // 100, "delete")
    before = disk.used_bytes()
    tool.run("take")
    # The blocks that the changes replaced are what the earlier snapshot keeps; the later one must add next to nothing.
    held = disk.used_bytes() - before
    first = tool.snapshots()[-1]["new_bytes"]
    share = 100 * held / os.path.getsize(database)
    figure = f"{clock.size(max(held, 0))} = {share:.2f} % of the database ({clock.size(first)} by the report)"
    yield Row("1 % of pages changed: new space of `take`", disk.kind, figure, "", "<= 3 %", share <= 3)


def restore(disk, tools, sizes):
    """Bringing a database back, beyond verifying it; and against copying it. All of them cold: what was put back is read
    from the disk to be verified, wherever the page cache has the snapshot."""
    tool, database = database_home(disk, tools, sizes, "delete")
    home = tool.settings.parent
    tool.run("take")
    tool.run("verify")

    def spoil():
        database.write_bytes(b"not a database" * 1000)
        for put_aside in home.glob("webui.aidb-before-*"):
            shutil.rmtree(put_aside)
        os.sync()
        machine.go_cold()

    whole = clock.median(sizes.runs, lambda: tool.run("restore", "webui"), spoil)
    verify = clock.median(sizes.runs, lambda: tool.run("verify"), machine.go_cold)
    beyond = max(0.0, whole - verify)
    copied = home / "copied"
    kept = next((home / "vault" / "webui").glob("*/data"))

    def clear():
        shutil.rmtree(copied, ignore_errors=True)
        os.sync()
        machine.go_cold()

    copy = f"cp -a --reflink=auto {kept} {copied} && sync -f {copied}"
    cp = clock.median(sizes.runs, lambda: clock.run(["sh", "-c", copy]), clear)
    peers = f"`verify` {told(verify)}, `cp && sync -f` {told(cp)} ({whole / cp:.2f}x)"
    if disk.kind == "ext4":
        reach, reached = "<= 1.2x `cp && sync -f`", whole <= 1.2 * cp
    else:
        reach, reached = "< 50 ms beyond verification", beyond < 0.050
    yield Row("restore", disk.kind, f"{told(whole)}, {told(beyond)} beyond verification", peers, reach, reached)


def archive(disk, tools, sizes):
    """The independent copy, against xz of the same bytes."""
    # Little of it may come twice: a compressor would remember it over gigabytes, as it does in no one's chats.
    tool, database = database_home(disk, tools, sizes, "delete", sizes.database_bytes // 4)
    home = tool.settings.parent
    tool.run("take")
    tar = home / "peer.tar"
    kept = next((home / "vault" / "webui").glob("*/data")).parent
    clock.run(["tar", "-C", kept.parent, "-cf", tar, kept.name])
    machine.go_cold()
    theirs = clock.run(["sh", "-c", f"cat {tar} >/dev/null; xz -6 -T2 -k -c {tar} > {tar}.2.xz && sync -f {tar}.2.xz"]).seconds
    clock.run(["sh", "-c", f"xz -6 -T1 -k -c {tar} > {tar}.1.xz"])
    machine.go_cold()
    ours = tool.run("archive")
    made = next((home / "vault" / "webui" / "archive").glob("*.tar.xz"))
    size, peer = made.stat().st_size, pathlib.Path(f"{tar}.1.xz").stat().st_size
    figure = f"{told(ours.seconds)}, {clock.size(size)}"
    peers = f"`xz -6 -T2` {told(theirs)} ({ours.seconds / theirs:.2f}x), `xz -6` {clock.size(peer)} ({size / peer:.3f}x)"
    reached = size <= 1.02 * peer and ours.seconds <= 1.05 * theirs
    yield Row("`archive`, read back and all", disk.kind, figure, peers, "size <= 1.02x `xz -6`, time <= 1.05x `xz -6 -T2`", reached)


def many_snapshots(disk, tools, sizes):
    """A vault of many snapshots."""
    home = store.home(disk)
    data = home / "notes"
    data.mkdir()
    guards = {"notes": {"data": str(data), "stores": {"notes": {"kind": "files", "path": "."}}}}
    keep = {"last": 3 * sizes.snapshots, "daily": 7, "weekly": 4, "monthly": 3}
    tool = Tool(tools, store.settings(home / "stack.json", home / "vault", guards, keep))
    for number in range(sizes.snapshots):
        (data / "note.txt").write_text(f"note {number}\n")
        tool.run("take")
    for verb in [["list"], ["prune", "--dry-run"]]:
        ours = clock.median(sizes.runs, lambda: tool.run(*verb))
        figure = f"{told(ours)}, peak {clock.size(tool.peak_bytes(*verb))}"
        yield Row(f"`{' '.join(verb)}`, {sizes.snapshots} snapshots", disk.kind, figure, "", "< 1 s", ours < 1)


def many_files(disk, tools, sizes):
    """A folder of many files, of which one changed."""
    home = store.home(disk)
    data = home / "files"
    store.many_files(data, sizes.files)
    guards = {"files": {"data": str(data), "stores": {"all": {"kind": "files", "path": "."}}}}
    tool = Tool(tools, store.settings(home / "stack.json", home / "vault", guards))
    first = tool.run("take")
    time.sleep(3)
    tool.run("take")
    changes = iter(range(1000))

    def change():
        (data / "0000" / "0.txt").write_text(f"changed {next(changes)}\n")

    ran = []
    for _ in range(sizes.runs):
        change()
        ran.append(tool.run("take", "--unproven", "--reason", "stop"))
        tool.run("prove")
    ours = statistics.median(r.seconds for r in ran)
    proven = clock.median(sizes.runs, lambda: tool.run("take"), change)
    said = f"first: {told(first.seconds)}; proven at once: {told(proven)}"
    yield Row(f"`take --unproven`, 1 of {sizes.files} files changed", disk.kind, told(ours), said, "< 1 s", ours < 1)


def memory(disk, tools, sizes):
    """The largest resident set of any process, on a large database."""
    home = store.home(disk)
    data = home / "webui"
    store.database(data / "webui.db", sizes.large_bytes, "wal")
    tool = Tool(tools, store.settings(home / "stack.json", home / "vault", {"webui": store.guarded_database(data)}))
    verbs = [["take", "--unproven", "--reason", "stop"], ["prove"], ["list"], ["verify"], ["verify", "--read-all"], ["diff", "webui"]]
    peaks = {" ".join(verb): tool.peak_bytes(*verb) for verb in verbs}
    peaks["check"] = tool.peak_bytes("check", tool="aidb-precheck")
    peaks["status"] = tool.peak_bytes("status", tool="aidb-monitor")
    peaks["restore"] = tool.peak_bytes("restore", "webui")
    most = max(peaks, key=peaks.get)
    said = ", ".join(f"`{verb}` {clock.size(peak)}" for verb, peak in peaks.items())
    work = f"memory at {clock.size(sizes.large_bytes)}"
    yield Row(work, disk.kind, f"{clock.size(peaks[most])} (`{most}`)", said, "< 64 MiB", peaks[most] < 64 << 20)


def warm(path):
    """Reads a file, so that it is in the page cache."""
    with open(path, "rb") as file:
        while file.read(1 << 20):
            pass


def restic_of(home):
    """Returns restic on a new repository beside the data."""
    environment = {**os.environ, "RESTIC_PASSWORD": "bench", "RESTIC_REPOSITORY": str(home / "restic"), "RESTIC_CACHE_DIR": str(home / "restic-cache")}
    shutil.rmtree(home / "restic", ignore_errors=True)
    clock.run(["restic", "init"], env=environment)
    return lambda verb, *paths: clock.run(["restic", "--quiet", verb, *paths], env=environment)


def borg_of(home):
    """Returns borg on a new repository beside the data."""
    environment = {**os.environ, "BORG_REPO": str(home / "borg"), "BORG_BASE_DIR": str(home / "borg-base")}
    shutil.rmtree(home / "borg", ignore_errors=True)
    clock.run(["borg", "init", "--encryption=none"], env=environment)
    return lambda verb, *words: clock.run(["borg", verb, *words], env=environment)


ALL = {
    "look-unchanged": Work(("ext4",), looks.unchanged),
    "look-changed": Work(("btrfs", "xfs", "ext4"), looks.changed),
    "look-scan": Work(("ext4",), looks.scan),
    "live-capture": Work(("btrfs", "xfs"), live_capture),
    "rollback-writer": Work(("ext4",), rollback_writer),
    "take": Work(("btrfs", "xfs", "ext4"), take),
    "prove": Work(("btrfs", "ext4"), prove),
    "unchanged": Work(("btrfs", "ext4"), unchanged),
    "changed-pages": Work(("btrfs",), changed_pages),
    "restore": Work(("btrfs", "ext4"), restore),
    "archive": Work(("ext4",), archive),
    "many-snapshots": Work(("ext4",), many_snapshots),
    "many-files": Work(("btrfs", "ext4"), many_files),
    "memory": Work(("xfs",), memory),
}
