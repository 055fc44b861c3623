"""What was measured, as a Markdown table."""

from dataclasses import dataclass


@dataclass
class Row:
    """One figure: what was done, where, what came out, and what it should reach."""

    work: str
    where: str
    figure: str
    peers: str
    reach: str
    reached: bool | None  # None: reported without a goal

    def line(self):
        """Returns the figure for the one who waits."""
        word = {True: "reached", False: "NOT reached", None: "reported"}[self.reached]
        return f"{self.work}, {self.where}: {self.figure} ({self.peers or 'no peer'}; {self.reach or 'no goal'}: {word})"


def render(rows, about, command):
    """Returns the table, with the machine and the command that made it above it."""
    lines = [*(f"- {line}" for line in about), f"- made by `{command}`; medians of whole processes", ""]
    lines += ["| work | where | figure | peers in the same run | reach | reached |", "|---|---|---|---|---|---|"]
    word = {True: "yes", False: "**no**", None: "-"}
    for row in rows:
        lines.append(f"| {row.work} | {row.where} | {row.figure} | {row.peers} | {row.reach} | {word[row.reached]} |")
    return "\n".join(lines) + "\n"
