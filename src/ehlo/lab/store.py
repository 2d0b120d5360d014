"""What a lab has captured: messages and sessions, in SQLite, in a file or in memory.

    add_message ──> waiting ──> flush ──> messages          (the hot path: one append)
    messages(query) ──> index ──> found, messages           (reading and indexing wait until somebody asks)

Messages are kept as they came; what can be read out of them is worked out when it is first wanted. Sessions of a store
in memory are kept as they are, those of a file as JSON Lines. Nothing outgrows the bounds in `Keep`.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
import zlib
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from io import StringIO
from pathlib import Path as File
from typing import Any, NamedTuple

from ehlo.lab.policy import Message
from ehlo.lab.query import where
from ehlo.smtp.address import NULL_PATH, parse_path
from ehlo.transcript.jsonl import read, write
from ehlo.transcript.transcript import Header, Transcript

#: The layout of a store's file. One of another layout is refused, not guessed at.
_LAYOUT = 1

_SCHEMA = """
CREATE TABLE IF NOT EXISTS messages (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, session INTEGER NOT NULL, created REAL NOT NULL,
    sender TEXT NOT NULL, recipients TEXT NOT NULL, client TEXT NOT NULL, user TEXT NOT NULL, size INTEGER NOT NULL,
    raw BLOB NOT NULL, read INTEGER NOT NULL DEFAULT 0, tags TEXT NOT NULL DEFAULT '', summary TEXT,
    subject TEXT NOT NULL DEFAULT '', author TEXT NOT NULL DEFAULT '', addressed TEXT NOT NULL DEFAULT '',
    attachments INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS unread ON messages (read);
CREATE VIRTUAL TABLE IF NOT EXISTS found USING fts5 (text, tokenize = 'trigram');
CREATE TABLE IF NOT EXISTS sessions (number INTEGER PRIMARY KEY, started REAL NOT NULL, transcript BLOB NOT NULL);
"""


class StoreError(Exception):
    """A store that cannot be opened. The message is one sentence."""


class Keep(NamedTuple):
    """How much is kept; the oldest make room. `octets` is of all messages together, `seconds` their age.

    0: no bound.
    """

    messages: int = 10_000
    octets: int = 1_000_000_000
    seconds: float = 0.0
    sessions: int = 10_000


DEFAULT_KEEP = Keep()


class Stored(NamedTuple):
    """A message in the store. `recipients` are those of the envelope, `summary` what its headers say, as JSON."""

    number: int
    id: str
    session: int
    created: float
    sender: str
    recipients: tuple[str, ...]
    client: str
    user: str
    size: int
    read: bool
    tags: tuple[str, ...]
    summary: dict[str, Any]


class Found(NamedTuple):
    """A page of messages, the newest first, and how many there are in all."""

    total: int
    messages: list[Stored]


class TagRule(NamedTuple):
    """Messages that a query finds get this tag."""

    tag: str
    query: str


class Store:
    """Captured messages and sessions. Safe to use from several threads."""

    def __init__(
        self,
        path: str = "",
        *,
        durable: bool = False,
        keep: Keep = DEFAULT_KEEP,
        tag_rules: Sequence[TagRule] = (),
    ) -> None:
        self.keep = keep
        self.durable = durable and bool(path)
        self.path = path
        self._tag_rules = tuple(tag_rules)
        self._lock = threading.RLock()
        self._waiting: list[tuple[object, ...]] = []
        self._transcripts: OrderedDict[int, Transcript] = OrderedDict()
        self._weights: dict[int, int] = {}
        self._weight = 0
        self._ended: list[tuple[int, Transcript]] = []
        self._database = self._open(path)
        row = self._database.execute("SELECT count(*), coalesce(sum(size), 0), coalesce(max(number), 0) FROM messages")
        self._count, self._octets, self._number = row.fetchone()
        last = self._database.execute("SELECT coalesce(max(number), 0) FROM sessions").fetchone()[0]
        #: The number of the last session of an earlier run.
        self.last_session = max(last, self._one("SELECT coalesce(max(session), 0) FROM messages"))

    def _open(self, path: str) -> sqlite3.Connection:
        try:
            database = sqlite3.connect(path or ":memory:", check_same_thread=False, isolation_level=None)
            layout = database.execute("PRAGMA user_version").fetchone()[0]
            tables = database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
            if tables and layout != _LAYOUT:
                raise StoreError(f"The file {path} is not a store of this version of ehlo.")
            if path:
                database.execute("PRAGMA journal_mode = WAL")
                database.execute(f"PRAGMA synchronous = {'FULL' if self.durable else 'NORMAL'}")
                File(path).chmod(0o600)
            database.executescript(_SCHEMA)
            database.execute(f"PRAGMA user_version = {_LAYOUT}")
        except sqlite3.DatabaseError as error:
            raise StoreError(f"The store {path} cannot be opened: {error}.") from None
        return database

    def close(self) -> None:
        """Write what waits, and close."""
        self.flush()
        with self._lock:
            self._database.close()

    # Writing.

    def add_message(self, message: Message) -> bool:
        """Take a message. A durable store has it on the disk when this returns; False when that is not possible."""
        sender = message.sender.address
        recipients = "\n" + "\n".join(path.address for path in message.recipients) + "\n"
        with self._lock:
            self._number += 1
            size = len(message.content)
            self._waiting.append(
                (
                    *(self._number, message.id, message.session, time.time(), sender, recipients),
                    *(_storable(message.client), _storable(message.user), size, message.content),
                )
            )
            self._count += 1
            self._octets += size
            if self.durable:
                return self.flush()
        return True

    def begin_session(self, number: int, transcript: Transcript) -> None:
        """A session has begun; its transcript grows."""
        with self._lock:
            self._transcripts[number] = transcript
            while len(self._transcripts) > max(1, self.keep.sessions):
                self._let_go(next(iter(self._transcripts)))

    def end_session(self, number: int) -> None:
        """A session has ended."""
        with self._lock:
            transcript = self._transcripts.get(number)
            if transcript is None:
                return
            if self.path:
                self._ended.append((number, transcript))
            # Of what a session holds in memory, only messages and endless lines can be large.
            weight = sum([len(event.data) for event in transcript.events if event.data]) + 300 * len(transcript.events)
            self._weights[number] = weight
            self._weight += weight
            while self.keep.octets and self._weight > self.keep.octets and self._weights:
                self._let_go(next(iter(self._weights)))

    def _let_go(self, number: int) -> None:
        self._transcripts.pop(number, None)
        self._weight -= self._weights.pop(number, 0)

    def flush(self) -> bool:
        """Write what waits to the database, and let the oldest go that are too many. False when that failed."""
        with self._lock:
            if not (self._waiting or self._ended):
                return True
            rows, ended = self._waiting, self._ended
            try:
                self._database.execute("BEGIN")
                self._database.executemany(
                    "INSERT INTO messages (number, id, session, created, sender, recipients, client, user, size, raw)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    rows,
                )
                for number, transcript in ended:
                    packed = (number, transcript.header.started, _pack(transcript))
                    self._database.execute("INSERT OR REPLACE INTO sessions VALUES (?, ?, ?)", packed)
                self._prune()
                self._database.execute("COMMIT")
            except sqlite3.Error:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                if self.durable:
                    # Not accepted, so not kept either.
                    self._count -= len(rows)
                    self._waiting = []
                return False
            self._waiting, self._ended = [], []
            for number, _ in ended:
                self._let_go(number)
            return True

    def _prune(self) -> None:
        keep, execute = self.keep, self._database.execute
        while (surplus := self._count - keep.messages) > 0 or (keep.octets and self._octets > keep.octets):
            sizes = execute("SELECT number, size FROM messages ORDER BY number LIMIT ?", (max(surplus, 1),)).fetchall()
            if not sizes:
                break
            self._forget([number for number, _ in sizes], sum(size for _, size in sizes))
        if keep.seconds:
            old = execute(
                "SELECT number, size FROM messages WHERE created < ?", (time.time() - keep.seconds,)
            ).fetchall()
            self._forget([number for number, _ in old], sum(size for _, size in old))
        if self.path and keep.sessions:
            execute("DELETE FROM sessions WHERE number <= (SELECT max(number) FROM sessions) - ?", (keep.sessions,))

    def _forget(self, numbers: list[int], octets: int) -> None:
        rows = [(number,) for number in numbers]
        self._database.executemany("DELETE FROM messages WHERE number = ?", rows)
        self._database.executemany("DELETE FROM found WHERE rowid = ?", rows)
        self._count -= len(numbers)
        self._octets -= octets

    # Reading.

    @property
    def count(self) -> int:
        """How many messages there are."""
        return int(self._count)

    @property
    def octets(self) -> int:
        """How large they are together."""
        return int(self._octets)

    def unread(self) -> int:
        """How many of them have not been read."""
        return self._one("SELECT count(*) FROM messages WHERE read = 0")

    def held(self, mailbox: str) -> int:
        """How many messages a mailbox holds."""
        return self._one("SELECT count(*) FROM messages WHERE instr(lower(recipients), ?)", f"\n{mailbox.lower()}\n")

    def tags(self) -> list[str]:
        """All tags there are."""
        self._index()
        rows = self._all("SELECT DISTINCT tags FROM messages WHERE tags != ''")
        return sorted({tag for (tags,) in rows for tag in tags.split("\n")}, key=str.lower)

    def messages(self, query: str = "", start: int = 0, limit: int = 50) -> Found:
        """The messages that a query finds (docs/lab.md says what may stand in it), or all."""
        self._index(text=bool(query))
        condition, values = where(query)
        total = self._one(f"SELECT count(*) FROM messages WHERE {condition}", *values)  # noqa: S608 - no values in it
        rows = self._all(
            f"SELECT {_COLUMNS} FROM messages WHERE {condition} ORDER BY number DESC LIMIT ? OFFSET ?",  # noqa: S608
            *values,
            limit,
            start,
        )
        return Found(total, [_stored(row) for row in rows])

    def message(self, id_: str) -> Stored | None:
        """One message; "latest" is the newest."""
        self._index()
        by = "number = (SELECT max(number) FROM messages)" if id_ == "latest" else "id = ?"
        rows = self._all(f"SELECT {_COLUMNS} FROM messages WHERE {by}", *([] if id_ == "latest" else [id_]))  # noqa: S608
        return _stored(rows[0]) if rows else None

    def raw(self, id_: str) -> bytes | None:
        """A message's octets, as they came."""
        rows = self._all("SELECT raw FROM messages WHERE id = ?", id_)
        return rows[0][0] if rows else None

    def each_raw(self) -> Iterator[tuple[Stored, bytes]]:
        """All messages, the oldest first."""
        self._index()
        for (number,) in self._all("SELECT number FROM messages ORDER BY number"):
            rows = self._all(f"SELECT {_COLUMNS}, raw FROM messages WHERE number = ?", number)  # noqa: S608
            if rows:
                yield _stored(rows[0][:-1]), rows[0][-1]

    def received(self) -> list[Message]:
        """All messages as the lab took them, the oldest first."""
        rows = self._all("SELECT id, sender, recipients, raw, session, client, user FROM messages ORDER BY number")
        return [
            Message(
                id_,
                parse_path(sender, brackets=False) if sender else NULL_PATH,
                tuple(parse_path(address, brackets=False) for address in recipients.strip("\n").split("\n")),
                raw,
                self.transcript(session) or Transcript(Header("server", 0.0), []),
                session,
                client,
                user,
            )
            for id_, sender, recipients, raw, session, client, user in rows
        ]

    def session_numbers(self, start: int = 0, limit: int = 50) -> tuple[int, list[int]]:
        """How many sessions there are, and the numbers of a page of them, the newest first."""
        with self._lock:
            numbers = set(self._transcripts) | {row[0] for row in self._all("SELECT number FROM sessions")}
        return len(numbers), sorted(numbers, reverse=True)[start : start + limit]

    def transcripts(self) -> list[Transcript]:
        """All sessions' transcripts, the oldest first."""
        numbers = self.session_numbers(0, self.keep.sessions + len(self._transcripts))[1]
        return [transcript for number in reversed(numbers) if (transcript := self.transcript(number)) is not None]

    def transcript(self, number: int) -> Transcript | None:
        """A session's transcript."""
        with self._lock:
            if number in self._transcripts:
                return self._transcripts[number]
        rows = self._all("SELECT transcript FROM sessions WHERE number = ?", number)
        return _unpack(rows[0][0]) if rows else None

    def messages_of(self, session: int) -> list[str]:
        """The ids of the messages that a session brought."""
        return [row[0] for row in self._all("SELECT id FROM messages WHERE session = ? ORDER BY number", session)]

    # Changing.

    def mark(self, ids: Iterable[str] | None, *, read: bool) -> None:
        """Mark messages as read or not; None: all."""
        with self._lock:
            self.flush()
            if ids is None:
                self._database.execute("UPDATE messages SET read = ?", (read,))
            else:
                self._database.executemany("UPDATE messages SET read = ? WHERE id = ?", [(read, id_) for id_ in ids])

    def tag(self, ids: Iterable[str], tags: Iterable[str]) -> None:
        """Give messages these tags and no others."""
        joined = "\n".join(dict.fromkeys(tag.strip() for tag in tags if tag.strip()))
        with self._lock:
            self._index()
            self._database.executemany("UPDATE messages SET tags = ? WHERE id = ?", [(joined, id_) for id_ in ids])

    def delete(self, ids: Iterable[str] | None) -> None:
        """Delete messages; None: all."""
        with self._lock:
            self.flush()
            if ids is None:
                rows = self._all("SELECT number, size FROM messages")
            else:
                rows = [row for id_ in ids for row in self._all("SELECT number, size FROM messages WHERE id = ?", id_)]
            self._database.execute("BEGIN")
            self._forget([number for number, _ in rows], sum(size for _, size in rows))
            self._database.execute("COMMIT")

    def forget_sessions(self) -> None:
        """Forget the sessions that have ended, and those that run from now on."""
        with self._lock:
            self._transcripts.clear()
            self._weights.clear()
            self._weight = 0
            self._ended.clear()
            self._database.execute("DELETE FROM sessions")

    # The index.

    def _index(self, *, text: bool = False) -> None:
        """Work out what is not known yet of the messages: the summaries and, for a search, their text."""
        from ehlo.lab.letter import search_text, summarize
        from ehlo.lab.letter_json import summary_to_json

        with self._lock:
            self.flush()
            fresh = self._all("SELECT number, raw, recipients FROM messages WHERE summary IS NULL ORDER BY number")
            if fresh:
                self._database.execute("BEGIN")
                for number, raw, recipients in fresh:
                    summary = summary_to_json(summarize(raw))
                    tags = "\n".join(_plus_tags(recipients))
                    self._database.execute(
                        "UPDATE messages SET summary = ?, subject = ?, author = ?, addressed = ?, attachments = ?,"
                        " tags = ? WHERE number = ?",
                        (
                            json.dumps(summary),
                            summary["Subject"],
                            _people([summary["From"]]),
                            _people([*summary["To"], *summary["Cc"], *summary["Bcc"]]),
                            *(summary["Attachments"], tags, number),
                        ),
                    )
                self._database.execute("COMMIT")
            if not text and not (fresh and self._tag_rules):
                return
            unread = self._all(
                "SELECT number, raw FROM messages WHERE number > (SELECT coalesce(max(rowid), 0) FROM found)"
            )
            if unread:
                self._database.execute("BEGIN")
                self._database.executemany(
                    "INSERT INTO found (rowid, text) VALUES (?, ?)",
                    ((number, search_text(raw)) for number, raw in unread),
                )
                self._database.execute("COMMIT")
            if fresh:
                self._apply_tag_rules(fresh[0][0])

    def _apply_tag_rules(self, since: int) -> None:
        for tag, query in self._tag_rules:
            condition, values = where(query)
            sql = f"SELECT number, tags FROM messages WHERE number >= ? AND ({condition})"  # noqa: S608
            for number, tags in self._all(sql, since, *values):
                joined = "\n".join(dict.fromkeys([*filter(None, tags.split("\n")), tag]))
                self._database.execute("UPDATE messages SET tags = ? WHERE number = ?", (joined, number))

    # SQL.

    def _all(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        with self._lock:
            self.flush()
            return self._database.execute(sql, values).fetchall()

    def _one(self, sql: str, *values: object) -> int:
        return int(self._all(sql, *values)[0][0])


_COLUMNS = "number, id, session, created, sender, recipients, client, user, size, read, tags, summary"


def _stored(row: tuple[Any, ...]) -> Stored:
    number, id_, session, created, sender, recipients, client, user, size, is_read, tags, summary = row
    return Stored(
        *(number, id_, session, created, sender, tuple(recipients.strip("\n").split("\n")), client, user, size),
        read=bool(is_read),
        tags=tuple(tags.split("\n")) if tags else (),
        summary=json.loads(summary) if summary else {},
    )


def _storable(text: str) -> str:
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _plus_tags(recipients: str) -> list[str]:
    """The tag of each address such as alice+tag@example.com."""
    locals_ = [address.rpartition("@")[0] for address in recipients.strip("\n").split("\n")]
    return list(dict.fromkeys(tag for local in locals_ if (tag := local.partition("+")[2])))


def _people(people: list[dict[str, str]]) -> str:
    return " ".join(f"{person['Name']} {person['Address']}" for person in people if person)


def _pack(transcript: Transcript) -> bytes:
    out = StringIO()
    write(transcript, out)
    return zlib.compress(out.getvalue().encode("utf-8", "surrogatepass"), 1)


def _unpack(packed: bytes) -> Transcript:
    return read(StringIO(zlib.decompress(packed).decode("utf-8", "surrogatepass")))
