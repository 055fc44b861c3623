"""The tools of this project, as whole processes."""

import json
import shutil

import clock


class Tool:
    """`aidb-snapshot` and its siblings with one stack.json."""

    def __init__(self, folder, settings):
        self.folder = folder
        self.settings = settings

    def run(self, *words, tool="aidb-snapshot", statuses=(0,)):
        """Runs a verb to its end."""
        return clock.run(self.command(tool, words), statuses, env=self.environment())

    def peak_bytes(self, *words, tool="aidb-snapshot"):
        """Runs a verb to its end, and returns the largest resident set of any of its processes."""
        return clock.peak_bytes(self.command(tool, words), env=self.environment())

    def command(self, tool, words):
        return [self.folder / tool, *words, "--config", self.settings]

    def environment(self):
        return {"HOME": str(self.settings.parent), "PATH": "/usr/bin:/bin"}

    def json(self, *words, statuses=(0,)):
        """Returns the document that a verb prints."""
        out = self.run(*words, "--json", statuses=statuses).out
        return json.loads(out[out.index("{") :]) if "{" in out else {}

    def take(self, reason, statuses=(0,)):
        """Takes a snapshot as a stop does, and returns how it is reported; nothing if the guard was busy."""
        made = self.json("take", "--unproven", "--reason", reason, statuses=statuses).get("snapshots") or [None]
        return made[0]

    def snapshots(self):
        """Returns all snapshots, in the order that `list` has them."""
        return self.json("list")["snapshots"]

    def forget_snapshots(self):
        """Removes the vault and what is remembered, so that the next snapshot is a first one."""
        for folder in ["vault", "state"]:
            shutil.rmtree(self.settings.parent / folder, ignore_errors=True)
