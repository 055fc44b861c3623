"""A filesystem of its own on a loop device, removed with everything on it."""

import pathlib
import shutil
import subprocess
import tempfile

MAKE = {
    "ext4": ["mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0"],
    "btrfs": ["mkfs.btrfs", "-q", "-f"],
    "xfs": ["mkfs.xfs", "-q", "-f", "-m", "reflink=1"],
}


class Disk:
    """A mounted filesystem of a kind; `path` is its root."""

    def __init__(self, work, kind, size_bytes):
        work.mkdir(parents=True, exist_ok=True)
        self.kind = kind
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix=f"{kind}-", dir=work))
        self.image = self.folder / "image"
        self.path = self.folder / "disk"
        self.size_bytes = size_bytes

    def __enter__(self):
        with open(self.image, "wb") as image:
            image.truncate(self.size_bytes)
        subprocess.run([*MAKE[self.kind], str(self.image)], check=True, stdout=subprocess.DEVNULL)
        self.path.mkdir()
        subprocess.run(["mount", "-o", "loop,noatime", str(self.image), str(self.path)], check=True)
        return self

    def __exit__(self, *_):
        subprocess.run(["umount", str(self.path)], check=False)
        shutil.rmtree(self.folder)

    def used_bytes(self):
        """Returns how many bytes are allocated, everything written."""
        subprocess.run(["sync", "-f", str(self.path)], check=True)
        if self.kind == "btrfs":
            subprocess.run(["btrfs", "filesystem", "sync", str(self.path)], check=True)
        said = subprocess.run(["df", "--block-size=1", "--output=used", str(self.path)], check=True, capture_output=True)
        return int(said.stdout.split()[-1])
