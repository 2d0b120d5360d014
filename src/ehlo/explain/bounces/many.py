"""Bounces by the thousand: an mbox, a Maildir, a folder of .eml files, or a single mail."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from ehlo.explain.bounces.reader import Bounce, read_bounce
from ehlo.explain.detect import kind_of

#: A mail is read up to here; what follows is the message that came back.
MAX_MAIL = 4 * 1024 * 1024
#: Files whose names say that they are mails, and those that may be.
_NAMED, _PERHAPS = (".eml", ".mbox", ".mbx"), (".txt", "")
#: So much of a file shows whether it is one.
_HEAD = 65_536
#: The line before each mail of an mbox. An empty line should stand before it, and does not always.
_FROM = re.compile(rb"From \S+ +[A-Z][a-z]{2} +[A-Z][a-z]{2} +\d+ +\d\d:\d\d.* \d{4}\s*\Z")


def read_many(path: Path) -> Iterator[Bounce]:
    """The bounces at a path, one after the other, in the order of names or of the file. Raises `OSError`."""
    return (read_bounce(raw) for raw in mails(path))


def mails(path: Path) -> Iterator[bytes]:
    """The mails at a path, each cut at `MAX_MAIL`. Raises `OSError`."""
    if not path.is_dir():
        yield from _mbox(path)
        return
    boxes = [box for name in ("cur", "new") if (box := path / name).is_dir()]
    for folder in boxes or [path]:
        for file in sorted(folder.iterdir()):
            if not file.name.startswith(".") and file.is_file() and (boxes or _may_be_mail(file)):
                yield from _mbox(file)


def _may_be_mail(file: Path) -> bool:
    """Whether a file in a folder is to be read: one of another name may be a note beside the mails."""
    suffix = file.suffix.lower()
    if suffix not in _PERHAPS:
        return suffix in _NAMED
    with file.open("rb") as stream:
        return kind_of(stream.read(_HEAD)) == "bounce"


def _mbox(file: Path) -> Iterator[bytes]:
    """The mails of a file; of one that is no mbox, the one that it is."""
    with file.open("rb") as stream:
        first = stream.readline(MAX_MAIL)
        if not first.startswith(b"From "):
            yield first + stream.read(MAX_MAIL)
            return
        mail, size = [first], len(first)
        while line := stream.readline(MAX_MAIL):
            if line.startswith(b"From ") and _FROM.match(line):
                yield b"".join(mail)
                mail, size = [], 0
            if size < MAX_MAIL:
                # An mbox writer puts `>` before lines that begin with `From `.
                mail.append(line[1:] if line.startswith(b">From ") else line)
                size += len(line)
        yield b"".join(mail)
