"""Stores to measure on: databases, blobs, folders of many files, and writers that keep a database busy."""

import hashlib
import json
import os
import pathlib
import random
import re
import signal
import sqlite3
import subprocess
import sys

PAGE_BYTES = 4096
ROW_BYTES = 6000
TEXT_BYTES = 4 << 20


def words(rng, size_bytes):
    """Returns text that compresses like writing does: words of a vocabulary, in random order."""
    vocabulary = [
        "".join(rng.choice("etaoinshrdlucmfwypvbgkjqxz") for _ in range(rng.randint(2, 9))) for _ in range(4000)
    ]
    text = []
    length = 0
    while length < size_bytes:
        text.append(rng.choice(vocabulary))
        length += len(text[-1]) + 1
    return " ".join(text)


def database(path, size_bytes, journal, text_bytes=TEXT_BYTES):
    """Makes a compact database of about a size, of pieces of so much text: a table of chats with an index. With `wal` it ends as after a kill:
    the last commits are in the log."""
    rng = random.Random(7)
    text = words(rng, text_bytes)
    path.parent.mkdir(parents=True, exist_ok=True)
    db = sqlite3.connect(path, isolation_level=None)
    db.execute(f"pragma page_size={PAGE_BYTES}")
    db.execute("pragma journal_mode=off")
    db.execute("pragma synchronous=off")
    db.execute("create table chat (id integer primary key, user text, title text, chat text)")
    rows = size_bytes // (ROW_BYTES + 150)
    db.execute("begin")
    for i in range(rows):
        start = rng.randrange(len(text) - ROW_BYTES)
        row = (i, f"user-{i % 40}", text[start : start + 40], text[start : start + ROW_BYTES])
        db.execute("insert into chat values (?, ?, ?, ?)", row)
    db.execute("create index chat_title on chat (title, user)")
    db.execute("commit")
    db.execute(f"pragma journal_mode={journal}")
    db.close()
    os.sync()
    if journal == "wal":
        commits = "import os, sqlite3; db = sqlite3.connect(%r, isolation_level=None); db.execute('pragma wal_autocheckpoint=0'); " % str(path)
        commits += "[db.execute('update chat set user = user || 1 where id = ?', (i * 97 + 1,)) for i in range(300)]; os._exit(0)"
        subprocess.run([sys.executable, "-c", commits], check=True)
    os.sync()


def extents(path):
    """Returns how many extents a file has."""
    os.sync()
    said = subprocess.run(["filefrag", str(path)], check=True, capture_output=True, text=True).stdout
    return int(re.search(r"(\d+) extents? found", said).group(1))


def rewrite_pages(path, count, seed=3):
    """Writes `count` random pages again with what they hold: where blocks are shared, each becomes an extent."""
    rng = random.Random(seed)
    pages = os.path.getsize(path) // PAGE_BYTES
    with open(path, "r+b", buffering=0) as file:
        for n, page in enumerate(rng.randrange(pages) for _ in range(count)):
            os.pwrite(file.fileno(), os.pread(file.fileno(), PAGE_BYTES, page * PAGE_BYTES), page * PAGE_BYTES)
            if n % 500 == 499:
                os.fdatasync(file.fileno())
        os.fsync(file.fileno())


def change_rows(path, pages, journal):
    """Changes about as many pages of the database by transactions, and leaves them in main."""
    db = sqlite3.connect(path, isolation_level=None)
    rows = db.execute("select max(id) from chat").fetchone()[0]
    rng = random.Random(5)
    db.execute("begin")
    for row in rng.sample(range(rows), min(pages, rows)):
        db.execute("update chat set user = upper(user) where id = ?", (row,))
    db.execute("commit")
    if journal == "wal":
        db.execute("pragma wal_checkpoint(truncate)")
    db.close()


def models(folder, count, blob_bytes):
    """Makes an Ollama folder: blobs under the names of their hashes, and a manifest for each."""
    blobs = folder / "models" / "blobs"
    blobs.mkdir(parents=True)
    manifests = folder / "models" / "manifests" / "registry.ollama.ai" / "library" / "bench"
    manifests.mkdir(parents=True)
    rng = random.Random(11)
    for number in range(count):
        block = rng.randbytes(1 << 20)
        digest = hashlib.sha256()
        staged = blobs / "staged"
        with open(staged, "wb") as file:
            for mib in range(blob_bytes >> 20):
                piece = block[mib % 997 :] + block[: mib % 997]
                digest.update(piece)
                file.write(piece)
        name = digest.hexdigest()
        staged.rename(blobs / f"sha256-{name}")
        config = b"{}"
        (blobs / f"sha256-{hashlib.sha256(config).hexdigest()}").write_bytes(config)
        layer = {"mediaType": "application/vnd.ollama.image.model", "digest": f"sha256:{name}", "size": blob_bytes}
        manifest = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
            "config": {
                "mediaType": "application/vnd.docker.container.image.v1+json",
                "digest": f"sha256:{hashlib.sha256(config).hexdigest()}",
                "size": len(config),
            },
            "layers": [layer],
        }
        (manifests / f"{number}b").write_text(json.dumps(manifest))
    os.sync()


def many_files(folder, count):
    """Makes a folder of many small files, 200 in each of its folders."""
    for number in range(count):
        inside = folder / f"{number // 200:04}"
        if number % 200 == 0:
            inside.mkdir(parents=True)
        (inside / f"{number}.txt").write_text(f"file {number}\n" * (1 + number % 20))
    os.sync()


WRITER = """
import signal, sqlite3, sys, time
# A shell's background job is started deaf to it.
signal.signal(signal.SIGINT, signal.default_int_handler)
db = sqlite3.connect(sys.argv[1], timeout=30, isolation_level=None)
pause, longest, n = float(sys.argv[2]), 0.0, 0
print("ready", flush=True)
try:
    while True:
        began = time.monotonic()
        db.execute("update chat set user = 'writer' || ? where id = ?", (n, n % 1000 + 1))
        longest = max(longest, time.monotonic() - began)
        n += 1
        time.sleep(pause)
except KeyboardInterrupt:
    print(longest, n, flush=True)
"""


class Writer:
    """A process that commits to a database at a pace, and tells its longest commit."""

    def __init__(self, path, commits_a_second):
        self.command = [sys.executable, "-c", WRITER, str(path), str(1 / commits_a_second)]

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, text=True)
        self.process.stdout.readline()
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGINT)
        out = self.process.communicate()[0].split()
        self.longest_seconds, self.commits = float(out[0]), int(out[1])


def settings(path, vault, guards, keep=None):
    """Writes a stack.json; `guards` maps a name to its folder and stores."""
    document = {"schema": 1, "vault": str(vault), "state": str(path.parent / "state"), "guards": guards}
    if keep:
        document["keep"] = keep
    path.write_text(json.dumps(document))
    return path


def guarded_database(data):
    """Returns a guard of a folder with the database of this bench."""
    contract = {"tables": ["chat"], "neverShrink": ["chat"]}
    return {"data": str(data), "stores": {"chats": {"kind": "sqlite", "path": "webui.db", "contract": contract}}}


def home(disk):
    """Returns an empty home on a disk: everything of one measurement lies below it."""
    folder = pathlib.Path(disk.path) / "home"
    folder.mkdir()
    return folder
