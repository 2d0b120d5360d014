"""Captured messages for other programs: an mbox file or a Maildir folder, by the standard library."""

from __future__ import annotations

import mailbox
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from time import asctime, gmtime

from ehlo.lab.store import Store, Stored

#: The folders of a Maildir.
_PARTS = ("tmp", "new", "cur")


def check_export(target: str) -> None:
    """Whether messages can be written to a file, or with a slash behind it to a folder. Raises `OSError`."""
    if not target.endswith("/"):
        # What is there already stays until there is something to take its place.
        with _private(), Path(target).open("ab"):
            return
    folder = Path(target)
    for part in (folder, *(folder / name for name in _PARTS)):
        part.mkdir(mode=0o700, exist_ok=True)
    for name in _PARTS:
        with TemporaryFile(dir=folder / name):
            pass


def to_mbox(store: Store, path: Path) -> int:
    """Write all messages to a new mbox file (RFC 4155); gives their number. Raises `OSError`."""
    count = 0
    with _private(), path.open("wb") as out:
        for stored, raw in store.each_raw():
            sender = stored.sender.replace(" ", "_") or "MAILER-DAEMON"
            out.write(f"From {sender} {asctime(gmtime(stored.created))}\n".encode())
            lines = (_header(stored) + raw.replace(b"\r\n", b"\n")).split(b"\n")
            out.writelines(b">" * line.lstrip(b">").startswith(b"From ") + line + b"\n" for line in lines)
            count += 1
    return count


def to_maildir(store: Store, path: Path) -> int:
    """Add all messages to a Maildir folder, which is made if need be; gives their number. Raises `OSError`."""
    count = 0
    with _private():
        folder = mailbox.Maildir(path, create=True)
        for stored, raw in store.each_raw():
            folder.add(_header(stored) + raw.replace(b"\r\n", b"\n"))
            count += 1
    return count


@contextmanager
def _private() -> Iterator[None]:
    """What is made within is for its owner alone: mail is not for everybody who has an account here."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def _header(stored: Stored) -> bytes:
    """What a final delivery adds (RFC 5321 §4.4): who it came from and whom it was for."""
    fields = [f"Return-Path: <{stored.sender}>", *(f"Delivered-To: {recipient}" for recipient in stored.recipients)]
    return "".join(f"{field}\n" for field in fields).encode("utf-8", "replace")
