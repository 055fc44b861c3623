"""How large the stores of a run are."""

from dataclasses import dataclass

MIB = 1 << 20
GIB = 1 << 30


@dataclass(frozen=True)
class Sizes:
    """All that differs between a run that measures and one that shows that it works."""

    database_bytes: int
    fragments: int  # random page rewrites, each of which makes an extent
    blobs: int
    blob_bytes: int
    large_bytes: int  # the database whose memory use is measured
    snapshots: int
    files: int
    runs: int  # of each command; the median counts
    disk_bytes: int  # the apparent size of a disk; it is sparse


FULL = Sizes(
    database_bytes=GIB,
    fragments=100_000,
    blobs=8,
    blob_bytes=GIB,
    large_bytes=10 * GIB,
    snapshots=10_000,
    files=100_000,
    runs=5,
    disk_bytes=64 * GIB,
)
QUICK = Sizes(
    database_bytes=64 * MIB,
    fragments=2_000,
    blobs=2,
    blob_bytes=8 * MIB,
    large_bytes=128 * MIB,
    snapshots=30,
    files=500,
    runs=2,
    disk_bytes=24 * GIB,
)
