"""Mail logs: what failed, and why, grouped by cause.

    bytes ──> source: lines of interest ──> head: time, host, program ──> a product's reader: a case ──> groups

Each product has a module with its `NEEDLES`, which say what lines are of interest, and its `read`, which takes such a
line's message apart. To teach the reader a kind of line, add a needle and a branch there.
"""

from ehlo.explain.logs.groups import Group, summarize
from ehlo.explain.logs.reader import Entry, read_log
from ehlo.explain.logs.source import Damage

__all__ = ["Damage", "Entry", "Group", "read_log", "summarize"]
