"""What a lab has captured: messages and sessions, in SQLite, in a file or in memory.

    add_message ──> waiting ──> flush ──> messages          (the hot path: one append)
    messages(query) ──> index ──> found, messages           (reading and indexing wait until somebody asks)

Messages are kept as they came; what can be read out of them is worked out when it is first wanted. Sessions of a store
in memory are kept as they are, those of a file as JSON Lines. Nothing outgrows the bounds in `Keep`.
"""

from __future__ import annotations

import contextlib
import json
import logging
import sqlite3
import sys
import threading
import time
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from io import StringIO
from pathlib import Path as File
from typing import Any, NamedTuple

from ehlo.lab.policy import Envelope, Message
from ehlo.lab.query import FUNCTIONS, where
from ehlo.smtp.address import NULL_PATH, Mailbox, parse_path
from ehlo.transcript.jsonl import read, write
from ehlo.transcript.transcript import Header, Transcript

_LOG = logging.getLogger("ehlo.lab")

#: The layout of a store's file. One of another layout is refused, not guessed at.
_LAYOUT = 1
#: What marks a file of SQLite as a store of ehlo: the name in ASCII.
_APPLICATION = int.from_bytes(b"ehlo", "big")

#: As many messages, or octets of them, are written at once, even if nobody asks for it. In memory, writing early gains
#: nothing: there, what gives way to newer messages before anybody asks is never written at all.
_MOST_WAITING = 2000
_MOST_OCTETS_WAITING = 16_000_000

#: What an event with an ordinary line takes in memory, in octets.
_EVENT_WEIGHT = 300

#: Why a file cannot be opened, where SQLite has words for its own readers.
_REASONS = {"SQLITE_BUSY": "another lab has it open", "SQLITE_NOTADB": "it is another kind of file"}

_SCHEMA = """
CREATE TABLE IF NOT EXISTS messages (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, session INTEGER NOT NULL, created REAL NOT NULL,
    sender TEXT NOT NULL, recipients TEXT NOT NULL, client TEXT NOT NULL, user TEXT NOT NULL, size INTEGER NOT NULL,
    read INTEGER NOT NULL DEFAULT 0, tags TEXT NOT NULL DEFAULT '', summary TEXT, subject TEXT NOT NULL DEFAULT '',
    author TEXT NOT NULL DEFAULT '', addressed TEXT NOT NULL DEFAULT '', copied TEXT NOT NULL DEFAULT '',
    attachments INTEGER NOT NULL DEFAULT 0,
    raw BLOB NOT NULL -- The last, so that nothing else has to be read past it.
);
CREATE INDEX IF NOT EXISTS unread ON messages (read);
CREATE INDEX IF NOT EXISTS of_session ON messages (session);
CREATE INDEX IF NOT EXISTS fresh ON messages (number) WHERE summary IS NULL;
CREATE VIRTUAL TABLE IF NOT EXISTS found USING fts5 (text, tokenize = 'trigram');
CREATE TABLE IF NOT EXISTS sessions (number INTEGER PRIMARY KEY, started REAL NOT NULL, transcript BLOB NOT NULL);
"""


class StoreError(Exception):
    """A store that cannot be opened, or written to. The message is one sentence."""


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


#: A message's number, when it came, and the message.
_Waiting = tuple[int, float, Envelope]


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
        self._waiting: list[_Waiting] = []
        self._octets_waiting = 0
        self._failing = False
        self._transcripts: OrderedDict[int, Transcript] = OrderedDict()
        self._weights: dict[int, int] = {}
        self._weight = 0
        self._ended: list[tuple[int, Transcript]] = []
        # Of what is in the database; the number is the last one given.
        self._count = self._octets = self._number = 0
        #: The number of the last session of an earlier run.
        self.last_session = 0
        try:
            self._database = sqlite3.connect(path or ":memory:", 1.0, check_same_thread=False, isolation_level=None)
        except sqlite3.Error as error:
            raise StoreError(f"The store {path} cannot be opened: {error}.") from None
        try:
            self._open(path)
        except (sqlite3.Error, OSError, StoreError) as error:
            self._database.close()
            if isinstance(error, StoreError):
                raise
            why = error.strerror if isinstance(error, OSError) else _REASONS.get(error.sqlite_errorname, error)
            raise StoreError(f"The store {path} cannot be opened: {why}.") from None

    def _open(self, path: str) -> None:
        execute = self._database.execute
        if path:
            # Two labs that write to one file would give their messages the same numbers.
            execute("PRAGMA locking_mode = EXCLUSIVE")
        marks = tuple(execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version"))
        if execute("SELECT count(*) FROM sqlite_master").fetchone()[0] and marks != (_APPLICATION, _LAYOUT):
            raise StoreError(f"The file {path} is not a store of this version of ehlo.")
        if path:
            File(path).chmod(0o600)
            execute("PRAGMA journal_mode = WAL")
            execute(f"PRAGMA synchronous = {'FULL' if self.durable else 'NORMAL'}")
        # All or nothing: a process that is killed here leaves a file that can be opened again.
        marking = f"PRAGMA application_id = {_APPLICATION}; PRAGMA user_version = {_LAYOUT};"
        self._database.executescript(f"BEGIN; {_SCHEMA} {marking} COMMIT;")
        for name, function in FUNCTIONS.items():
            self._database.create_function(name, 2, function, deterministic=True)
        row = execute("SELECT count(*), coalesce(sum(size), 0), coalesce(max(number), 0) FROM messages").fetchone()
        self._count, self._octets, self._number = row
        last = "SELECT max(coalesce((SELECT max(number) FROM sessions), 0), coalesce(max(session), 0)) FROM messages"
        self.last_session = execute(last).fetchone()[0]
        # The bounds may have been others the last time.
        with self._transaction():
            self._prune()

    def close(self) -> int:
        """Write what waits, and close; gives how many messages could not be written, and so are lost."""
        with self._lock:
            lost = 0 if self.flush() else len(self._waiting)
            self._database.close()
            return lost

    # Writing.

    def add_message(self, envelope: Envelope) -> bool:
        """Take a message. A durable store has it on the disk when this returns; False when that is not possible,
        and for any store while what came before cannot be written."""
        with self._lock:
            if self._failing and not self.flush():
                return False
            waiting = self._waiting
            self._number = number = self._number + 1
            waiting.append((number, time.time(), envelope))
            self._octets_waiting = octets = self._octets_waiting + len(envelope.content)
            if self.durable:
                return self.flush()
            if octets >= _MOST_OCTETS_WAITING:
                self.flush()
            elif len(waiting) >= _MOST_WAITING:
                self._make_room()
        return True

    def _make_room(self) -> None:
        """Many messages wait: write them, or in memory let those go that would not be kept anyway."""
        most = self.keep.messages
        if self.path or not most:
            self.flush()
        elif len(self._waiting) >= most + _MOST_WAITING:
            gone, self._waiting = self._waiting[:-most], self._waiting[-most:]
            self._octets_waiting -= sum([len(envelope.content) for *_, envelope in gone])

    def begin_session(self, number: int, transcript: Transcript) -> None:
        """A session has begun; its transcript grows."""
        with self._lock:
            self._transcripts[number] = transcript
            while self.keep.sessions and len(self._transcripts) > self.keep.sessions:
                self._let_go(next(iter(self._transcripts)))

    def change_session(self, number: int, transcript: Transcript) -> None:
        """What stands in the header of a session's transcript has changed."""
        with self._lock:
            if number in self._transcripts:
                self._transcripts[number] = transcript

    def end_session(self, number: int, octets: int) -> None:
        """A session has ended. What is large in its transcript has so many octets (`Recorder.octets`)."""
        with self._lock:
            transcript = self._transcripts.get(number)
            if transcript is None or number in self._weights:
                return
            if self.path:
                self._ended.append((number, transcript))
            weight = self._weights[number] = octets + _EVENT_WEIGHT * len(transcript.events)
            self._weight += weight
            while self.keep.octets and self._weight > self.keep.octets and self._weights:
                self._let_go(next(iter(self._weights)))

    def _let_go(self, number: int) -> None:
        self._transcripts.pop(number, None)
        self._weight -= self._weights.pop(number, 0)

    def settle(self) -> None:
        """Do what is due even if nobody asks: write to a file what waits, let go what is too old."""
        if self.path or self.keep.seconds:
            self.flush()

    def flush(self) -> bool:
        """Write what waits to the database, and let the oldest go that are too many. False when that failed."""
        with self._lock:
            if not (self._waiting or self._ended or self._oldest_is_due()):
                return True
            rows, ended = self._waiting, self._ended
            try:
                with self._transaction():
                    self._database.executemany(
                        "INSERT INTO messages (number, id, session, created, sender, recipients, client, user, size,"
                        " raw) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                        map(_row, rows),
                    )
                    for number, transcript in ended:
                        packed = (number, transcript.header.started, _pack(transcript))
                        self._database.execute("INSERT OR REPLACE INTO sessions VALUES (?, ?, ?)", packed)
                    self._count += len(rows)
                    self._octets += self._octets_waiting
                    self._prune()
            except sqlite3.Error as error:
                if not self._failing:
                    _LOG.warning(
                        "The store %s cannot be written: %s. Messages are refused until it can.", self.path, error
                    )
                self._failing = True
                if self.durable:
                    # Not accepted, so not kept either.
                    self._waiting, self._octets_waiting = [], 0
                self._ended = [(number, transcript) for number, transcript in ended if number in self._transcripts]
                return False
            self._waiting, self._ended, self._octets_waiting, self._failing = [], [], 0, False
            for number, _ in ended:
                self._let_go(number)
            return True

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        """All that happens inside is done, or nothing of it."""
        before = self._count, self._octets
        self._database.execute("BEGIN")
        try:
            yield
            self._database.execute("COMMIT")
        except BaseException:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            self._count, self._octets = before
            raise

    def _oldest_is_due(self) -> bool:
        if not self.keep.seconds:
            return False
        oldest = self._database.execute("SELECT created FROM messages ORDER BY number LIMIT 1").fetchone()
        return oldest is not None and oldest[0] < time.time() - self.keep.seconds

    def _prune(self) -> None:
        keep, execute = self.keep, self._database.execute
        while (surplus := keep.messages and self._count - keep.messages) > 0 or 0 < keep.octets < self._octets:
            sizes = execute("SELECT number, size FROM messages ORDER BY number LIMIT ?", (max(surplus, 1),)).fetchall()
            if not sizes:
                break
            self._forget([number for number, _ in sizes], sum(size for _, size in sizes))
        if self._oldest_is_due():
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
        with self._lock:
            self.flush()
            return self._count + len(self._waiting)

    @property
    def octets(self) -> int:
        """How large they are together."""
        with self._lock:
            self.flush()
            return self._octets + self._octets_waiting

    def unread(self) -> int:
        """How many of them have not been read."""
        return self._one("SELECT count(*) FROM messages WHERE read = 0")

    def held(self, is_for: Callable[[str], bool]) -> int:
        """How many messages came for an address of those that this is true of."""
        held = 0
        known: dict[str, bool] = {}
        for recipients, count in self._all("SELECT recipients, count(*) FROM messages GROUP BY recipients"):
            for address in recipients.strip("\n").split("\n"):
                if address not in known:
                    known[address] = is_for(address)
                if known[address]:
                    held += count
                    break
        return held

    def tags(self) -> list[str]:
        """All tags there are."""
        self._index()
        rows = self._all("SELECT DISTINCT tags FROM messages WHERE tags != ''")
        return sorted({tag for (tags,) in rows for tag in tags.split("\n")}, key=str.lower)

    def tagged(self, tag: str) -> int:
        """How many messages have a tag."""
        return self._one("SELECT count(*) FROM messages WHERE has_line(tags, ?)", tag.casefold())

    def messages(self, query: str = "", start: int = 0, limit: int = 50) -> Found:
        """The messages that a query finds (docs/lab.md says what may stand in it), or all."""
        condition, values = where(query)
        page = f"SELECT {_COLUMNS} FROM messages WHERE {condition} ORDER BY number DESC LIMIT ? OFFSET ?"  # noqa: S608
        with self._lock:
            self._index(text=bool(query))
            total = self._one(f"SELECT count(*) FROM messages WHERE {condition}", *values)  # noqa: S608 - no values in it
            rows = self._all(page, *values, limit, start)
        return Found(total, [self._stored(row) for row in rows])

    def message(self, id_: str) -> Stored | None:
        """One message; "latest" is the newest."""
        self._index()
        by = "number = (SELECT max(number) FROM messages)" if id_ == "latest" else "id = ?"
        rows = self._all(f"SELECT {_COLUMNS} FROM messages WHERE {by}", *([] if id_ == "latest" else [id_]))  # noqa: S608
        return self._stored(rows[0]) if rows else None

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
                yield self._stored(rows[0][:-1]), rows[0][-1]

    def received(self) -> list[Message]:
        """All messages as the lab took them, the oldest first."""
        rows = self._all("SELECT id, sender, recipients, raw, session, client, user FROM messages ORDER BY number")
        transcripts = {session: self.transcript(session) for session in {row[4] for row in rows}}
        return [
            Message(
                id_,
                parse_path(sender, brackets=False) if sender else NULL_PATH,
                tuple(parse_path(address, brackets=False) for address in recipients.strip("\n").split("\n")),
                raw,
                transcripts[session] or Transcript(Header("server", 0.0), []),
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
        numbers = self.session_numbers(0, sys.maxsize)[1]
        return [transcript for number in reversed(numbers) if (transcript := self.transcript(number)) is not None]

    def transcript(self, number: int) -> Transcript | None:
        """A session's transcript."""
        with self._lock:
            if number in self._transcripts:
                return self._transcripts[number]
        rows = self._all("SELECT transcript FROM sessions WHERE number = ?", number)
        return _unpack(rows[0][0]) if rows else None

    def messages_of(self, session: int, limit: int = -1) -> list[str]:
        """The ids of the messages that a session brought, or of the first of them."""
        sql = "SELECT id FROM messages WHERE session = ? ORDER BY number LIMIT ?"
        return [row[0] for row in self._all(sql, session, limit)]

    def count_of(self, session: int) -> int:
        """How many messages a session brought."""
        return self._one("SELECT count(*) FROM messages WHERE session = ?", session)

    # Changing.

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        """Raises `StoreError` where nothing can be written."""
        with self._lock:
            try:
                yield
            except sqlite3.OperationalError as error:
                raise StoreError(f"The store {self.path} cannot be written: {error}.") from None

    def mark(self, ids: Iterable[str] | None, *, read: bool) -> None:
        """Mark messages as read or not; None: all. Raises `StoreError`, as all of these do."""
        with self._changing():
            self.flush()
            if ids is None:
                self._database.execute("UPDATE messages SET read = ?", (read,))
            else:
                marks = [(read, _storable(id_)) for id_ in ids]
                self._database.executemany("UPDATE messages SET read = ? WHERE id = ?", marks)

    def tag(self, ids: Iterable[str], tags: Iterable[str]) -> None:
        """Give messages these tags and no others."""
        joined = _joined(tags)
        with self._changing():
            self._index()
            given = [(joined, _storable(id_)) for id_ in ids]
            self._database.executemany("UPDATE messages SET tags = ? WHERE id = ?", given)

    def delete(self, ids: Iterable[str] | None) -> None:
        """Delete messages; None: all."""
        with self._changing():
            self.flush()
            if ids is None:
                rows = self._all("SELECT number, size FROM messages")
            else:
                sql = "SELECT number, size FROM messages WHERE id = ?"
                rows = [row for id_ in dict.fromkeys(ids) for row in self._all(sql, id_)]
            with self._transaction():
                self._forget([number for number, _ in rows], sum(size for _, size in rows))

    def forget_sessions(self) -> None:
        """Forget the sessions that have ended, and those that run from now on."""
        with self._changing():
            self._transcripts.clear()
            self._weights.clear()
            self._weight = 0
            self._ended.clear()
            self._database.execute("DELETE FROM sessions")

    # The index.

    def _index(self, *, text: bool = False) -> None:
        """Work out what is not known yet of the messages: the summaries and, for a search, their text."""
        from ehlo.lab.letter import search_text

        with self._lock:
            fresh = self._all("SELECT number FROM messages WHERE summary IS NULL ORDER BY number")
            unread: list[tuple[int]] = []
            if text or (fresh and self._tag_rules):
                unread = self._all(
                    "SELECT number FROM messages WHERE number > (SELECT coalesce(max(rowid), 0) FROM found)"
                )
            if not (fresh or unread):
                return
            # What is there can be read even where nothing more can be written: then it is worked out each time.
            with contextlib.suppress(sqlite3.OperationalError), self._transaction():
                for (number,) in fresh:
                    self._summarize(number)
                for (number,) in unread:
                    found = search_text(self._raw(number))
                    self._database.execute("INSERT INTO found (rowid, text) VALUES (?, ?)", (number, found))
                if fresh:
                    self._apply_tag_rules(fresh[0][0])

    def _raw(self, number: int) -> bytes:
        # One at a time: all of them together may be larger than the memory.
        row = self._database.execute("SELECT raw FROM messages WHERE number = ?", (number,)).fetchone()
        return bytes(row[0]) if row else b""

    def _summary(self, number: int) -> dict[str, Any]:
        from ehlo.lab.letter import summarize
        from ehlo.lab.letter_json import summary_to_json

        return summary_to_json(summarize(self._raw(number)))

    def _summarize(self, number: int) -> None:
        execute = self._database.execute
        recipients = execute("SELECT recipients FROM messages WHERE number = ?", (number,)).fetchone()[0]
        summary = self._summary(number)
        execute(
            "UPDATE messages SET summary = ?, subject = ?, author = ?, addressed = ?, copied = ?, attachments = ?,"
            " tags = ? WHERE number = ?",
            (
                json.dumps(summary),
                summary["Subject"],
                _people([summary["From"]]),
                _people([*summary["To"], *summary["Cc"], *summary["Bcc"]]),
                _people(summary["Cc"]),
                *(summary["Attachments"], _joined(_plus_tags(recipients)), number),
            ),
        )

    def _apply_tag_rules(self, since: int) -> None:
        for tag, query in self._tag_rules:
            condition, values = where(query)
            sql = f"SELECT number, tags FROM messages WHERE number >= ? AND ({condition})"  # noqa: S608
            for number, tags in self._database.execute(sql, (since, *values)).fetchall():
                joined = _joined([*tags.split("\n"), tag])
                self._database.execute("UPDATE messages SET tags = ? WHERE number = ?", (joined, number))

    # SQL.

    def _all(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        with self._lock:
            self.flush()
            clean = [_storable(value) if isinstance(value, str) else value for value in values]
            return self._database.execute(sql, clean).fetchall()

    def _one(self, sql: str, *values: object) -> int:
        return int(self._all(sql, *values)[0][0])

    def _stored(self, row: tuple[Any, ...]) -> Stored:
        number, id_, session, created, sender, recipients, client, user, size, is_read, tags, summary = row
        return Stored(
            *(number, id_, session, created, sender, tuple(recipients.strip("\n").split("\n")), client, user, size),
            read=bool(is_read),
            tags=tuple(tags.split("\n")) if tags else (),
            summary=json.loads(summary) if summary else self._summary(number),
        )


_COLUMNS = "number, id, session, created, sender, recipients, client, user, size, read, tags, summary"


def _row(waiting: _Waiting) -> tuple[object, ...]:
    number, created, (id_, sender, recipients, content, session, client, user) = waiting
    addresses = "\n" + "\n".join([path.address for path in recipients]) + "\n"
    names = sender.address, addresses, _storable(client), _storable(user)
    return number, id_, session, created, *names, len(content), content


def _storable(text: str) -> str:
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _plus_tags(recipients: str) -> list[str]:
    """The tag of each address such as alice+tag@example.com."""
    locals_ = [address.rpartition("@")[0] for address in recipients.strip("\n").split("\n")]
    return [Mailbox(local, None).unquoted.partition("+")[2] for local in locals_]


def _joined(tags: Iterable[str]) -> str:
    """Tags as they are kept: each once, on a line of its own."""
    return "\n".join(dict.fromkeys(name for tag in tags if (name := " ".join(_storable(tag).split()))))


def _people(people: list[dict[str, str]]) -> str:
    return " ".join(f"{person['Name']} {person['Address']}" for person in people if person)


def _pack(transcript: Transcript) -> bytes:
    out = StringIO()
    write(transcript, out)
    return zlib.compress(out.getvalue().encode("utf-8", "surrogatepass"), 1)


def _unpack(packed: bytes) -> Transcript:
    return read(StringIO(zlib.decompress(packed).decode("utf-8", "surrogatepass")))
