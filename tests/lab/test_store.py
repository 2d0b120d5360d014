"""What the store keeps, in memory and in a file: all inside its bounds, nothing outside, whatever the messages say."""

from __future__ import annotations

import contextlib
import resource
import socket
import sqlite3
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path as File
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ehlo.lab import Lab, Policy
from ehlo.lab.policy import Envelope
from ehlo.lab.store import Keep, Store, StoreError, TagRule
from ehlo.smtp.address import NULL_PATH, parse_path
from ehlo.transcript.event import Event
from ehlo.transcript.transcript import Header, Transcript

#: Addresses that trip up who splits, quotes or folds them without care.
ADDRESSES = [
    "plain@example.com",
    "UPPER.Case@EXAMPLE.com",
    "юзер@пример.рф",
    "用户@例子.公司",
    "Ünïcode+Tag@example.com",
    '"a|b"@example.com',
    '"a@b"@example.com',
    '"a\\"b"@example.com',
    '"a\\\\b"@example.com',
    '"<x>, y"@example.com',
    '" "@example.com',
    "o'brien@example.com",
    "100%_off@example.com",
    "'||'--@example.com",
    "user@[127.0.0.1]",
    "user@[IPv6:::1]",
    "a+b+c@example.com",
    "x" * 64 + "@example.com",
    "Postmaster",
]


def transcript(said: bytes = b"NOOP\r\n") -> Transcript:
    return Transcript(Header("server", 0.0), [Event(0.5, "client", "line", "ehlo", said)])


def message(
    id_: str,
    content: bytes = b"Subject: x\r\n\r\nHello.\r\n",
    *,
    sender: str = "a@b.org",
    recipients: tuple[str, ...] = ("recipient@example.com",),
    session: int = 1,
    user: str = "",
) -> Envelope:
    return Envelope(
        id_,
        parse_path(f"<{sender}>") if sender else NULL_PATH,
        tuple(parse_path(f"<{address}>") for address in recipients),
        content,
        session,
        "127.0.0.1",
        user,
    )


def sized(id_: str, size: int) -> Envelope:
    return message(id_, b"x" * size)


def ids(store: Store) -> list[str]:
    """What is kept, the oldest first, as all ways of asking say it."""
    kept = [received.id for received in store.received()]
    found = store.messages(limit=-1)
    assert [stored.id for stored in reversed(found.messages)] == kept
    assert [stored.id for stored, _ in store.each_raw()] == kept
    assert found.total == store.count == len(kept)
    assert store.octets == sum(stored.size for stored in found.messages)
    return kept


Opener = Callable[..., Store]


@pytest.fixture(name="open_store", params=["memory", "file", "durable"])
def store_opener(request: pytest.FixtureRequest, tmp_path: File) -> Iterator[Opener]:
    """Opens stores of each kind, and closes them in the end."""
    stores: list[Store] = []

    def open_store(keep: Keep | None = None, tag_rules: tuple[TagRule, ...] = ()) -> Store:
        path = "" if request.param == "memory" else str(tmp_path / f"{len(stores)}.db")
        store = Store(path, durable=request.param == "durable", keep=keep or Keep(), tag_rules=tag_rules)
        stores.append(store)
        return store

    yield open_store
    for store in stores:
        store.close()


@pytest.fixture(name="store")
def any_store(open_store: Opener) -> Store:
    return open_store()


# What comes back.


def test_a_message_comes_back_as_it_came(store: Store) -> None:
    content = bytes(range(256)) * 3 + b"\r\n.\r\n\0"
    sent = message("1A", content, sender="s@b.org", recipients=("a@example.com", "b@example.com"), session=7, user="me")
    assert store.add_message(sent)
    (received,) = store.received()
    assert received[:4] == sent[:4]
    assert received[5:] == sent[4:]
    assert store.raw("1A") == content
    stored = store.message("1A")
    assert stored is not None
    assert (stored.sender, stored.recipients) == ("s@b.org", ("a@example.com", "b@example.com"))
    assert (stored.session, stored.client, stored.user, stored.size) == (7, "127.0.0.1", "me", len(content))
    assert store.messages_of(7) == ["1A"]
    assert store.messages_of(8) == []


def test_the_newest_is_the_first(store: Store) -> None:
    for number in range(120):
        store.add_message(message(f"m{number}"))
    assert ids(store) == [f"m{number}" for number in range(120)]
    assert [stored.id for stored in store.messages(start=100).messages] == [
        f"m{number}" for number in range(19, -1, -1)
    ]
    assert len(store.messages().messages) == 50
    latest = store.message("latest")
    assert latest is not None
    assert latest.id == "m119"


def test_what_is_not_there(store: Store) -> None:
    for id_ in ("latest", "nothing", "", "' OR 1=1 --", "\ud800", "\0"):
        assert store.message(id_) is None
        assert store.raw(id_) is None
        store.mark([id_], read=True)
        store.tag([id_], ["x"])
        store.delete([id_])
    assert store.transcript(99) is None
    assert (store.count, store.octets, store.unread(), store.tags()) == (0, 0, 0, [])
    assert store.session_numbers() == (0, [])


@pytest.mark.parametrize("address", ADDRESSES)
def test_any_address_comes_back(store: Store, address: str) -> None:
    store.add_message(message("1", sender=address, recipients=(address, "b@example.com", address)))
    (received,) = store.received()
    assert received.sender == parse_path(f"<{address}>")
    assert [path.address for path in received.recipients] == [address, "b@example.com", address]
    assert store.held(lambda recipient: recipient == address) == store.held(lambda _: True) == 1
    assert store.held(lambda recipient: recipient == address[1:]) == 0
    if '"' not in address:
        for field in ("from", "to", "bcc", "addressed"):
            assert store.messages(f'{field}:"{address}"').total == 1


@pytest.mark.parametrize("user", ["alice", "юзер", "a|b", 'a"b', "' OR 1=1", "a\nb", "\0", "caf\ud8e9", "x" * 100_000])
def test_any_user_name_is_kept(store: Store, user: str) -> None:
    """One that has halves of surrogate pairs is kept as far as it is text."""
    assert store.add_message(message("1", user=user))
    (received,) = store.received()
    assert received.user == user.replace("\ud8e9", "?")


@pytest.mark.parametrize("address", [address for address in ADDRESSES if "@" in address])
def test_any_address_on_the_wire(address: str) -> None:
    with Lab(policy=Policy(any_recipient=True, extensions=("SMTPUTF8",))).running() as lab:
        with socket.create_connection((lab.host, lab.port), timeout=30) as client:
            envelope = f"EHLO x.org\r\nMAIL FROM:<{address}> SMTPUTF8\r\nRCPT TO:<{address}>\r\nDATA\r\n"
            client.sendall(envelope.encode() + b"Subject: x\r\n\r\n.\r\nQUIT\r\n")
            while client.recv(65536):
                pass
        (received,) = lab.messages
        assert received.sender.address == received.recipients[0].address == address


@given(st.binary(max_size=300))
def test_any_content_is_kept_listed_and_searched(content: bytes) -> None:
    store = Store(tag_rules=[TagRule("found", "xyz")])
    store.add_message(message("1", content))
    assert store.messages("abc").total in (0, 1)
    assert store.raw("1") == content
    store.close()


# Bounds.


def test_no_more_messages_than_are_kept(open_store: Opener) -> None:
    store = open_store(Keep(messages=10))
    for number in range(37):
        store.add_message(message(f"m{number}"))
        assert store.count == min(number + 1, 10)
    assert ids(store) == [f"m{number}" for number in range(27, 37)]
    assert store.messages("hello").total == 10
    assert store.message("m26") is None


def test_the_octets_of_all_together(open_store: Opener) -> None:
    store = open_store(Keep(octets=1000))
    for id_, size in (("a", 400), ("b", 100), ("c", 500)):
        store.add_message(sized(id_, size))
    assert ids(store) == ["a", "b", "c"]
    store.add_message(sized("d", 1))
    assert ids(store) == ["b", "c", "d"]
    store.add_message(sized("e", 899))
    assert ids(store) == ["d", "e"]
    store.add_message(sized("f", 1000))
    assert ids(store) == ["f"]
    store.add_message(sized("g", 1001))
    assert ids(store) == []
    store.add_message(sized("h", 10))
    assert ids(store) == ["h"]


@given(
    st.lists(st.integers(0, 300) | st.sampled_from(["flush", "delete", "read"]), max_size=40),
    st.integers(0, 8),
    st.integers(0, 600),
)
def test_the_bounds_are_kept_to_the_message(steps: list[int | str], messages: int, octets: int) -> None:
    """Whatever comes in whatever order: the newest that fit are there, and no others."""
    store = Store(keep=Keep(messages=messages, octets=octets))
    expected: list[tuple[str, int]] = []
    for number, step in enumerate(steps):
        if isinstance(step, int):
            store.add_message(sized(f"m{number}", step))
            expected.append((f"m{number}", step))
        elif step == "delete":
            store.flush()
            store.delete([id_ for id_, _ in expected[::3]])
            del expected[::3]
        elif step == "flush":
            store.flush()
        else:
            assert store.count == len(ids(store))
        if not isinstance(step, int):
            # Only what has been written makes room; what waits is counted when it is.
            continue
        while (messages and len(expected) > messages) or (octets and sum(size for _, size in expected) > octets):
            del expected[0]
        store.flush()
    assert ids(store) == [id_ for id_, _ in expected]
    store.close()


def test_nothing_is_older_than_it_may_be(open_store: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even if nothing new comes in."""
    now = 1000.0
    monkeypatch.setattr("ehlo.lab.store.time", SimpleNamespace(time=lambda: now))
    store = open_store(Keep(seconds=60))
    for id_ in ("a", "b", "c"):
        store.add_message(message(id_))
        now += 30
    # The first is 90 s old by now, the second 60.
    assert ids(store) == ["b", "c"]
    now += 1
    assert store.messages().total == 1
    now += 30
    assert store.raw("c") is None
    assert ids(store) == []


def test_without_bounds_all_is_kept(open_store: Opener) -> None:
    store = open_store(Keep(messages=0, octets=0, seconds=0, sessions=0))
    for number in range(1, 301):
        store.begin_session(number, transcript())
        store.add_message(message(f"m{number}", session=number))
        store.end_session(number, 0)
    assert len(ids(store)) == 300
    assert store.session_numbers()[0] == len(store.transcripts()) == 300


def test_no_more_sessions_than_are_kept(open_store: Opener) -> None:
    store = open_store(Keep(sessions=5))
    for number in range(1, 21):
        store.begin_session(number, transcript(b"NOOP %d\r\n" % number))
        store.end_session(number, 0)
    store.flush()
    assert store.session_numbers() == (5, [20, 19, 18, 17, 16])
    assert store.session_numbers(1, 2) == (5, [19, 18])
    assert [each.events[0].data for each in store.transcripts()] == [b"NOOP %d\r\n" % n for n in range(16, 21)]
    assert store.transcript(15) is None


def test_large_sessions_make_room_for_each_other() -> None:
    store = Store(keep=Keep(octets=100_000))
    for number in range(1, 11):
        store.begin_session(number, transcript(b"x" * 30_000))
        store.end_session(number, 30_000)
    assert store.session_numbers()[1] == [10, 9, 8]


def test_many_messages_are_written_before_anybody_asks() -> None:
    """What waits is not endless either, without a lab that flushes."""
    store = Store(keep=Keep(messages=10))
    for number in range(50_000):
        store.add_message(message(f"m{number}"))
        assert len(store._waiting) < 5000
    assert ids(store) == [f"m{number}" for number in range(49_990, 50_000)]


def test_in_memory_what_gives_way_unread_is_never_written() -> None:
    store = Store(keep=Keep(messages=10))
    statements: list[str] = []
    store._database.set_trace_callback(statements.append)
    for number in range(3000):
        store.add_message(message(f"m{number}"))
    store.settle()
    assert not statements
    assert store.count == 10
    assert store.octets == sum(len(raw) for _, raw in store.each_raw())
    assert sum(statement.startswith("INSERT INTO messages") for statement in statements) < 1500


# Read, tagged, deleted.


def test_read_and_unread(store: Store) -> None:
    for id_ in "abc":
        store.add_message(message(id_))
    assert store.unread() == 3
    store.mark(["a", "c", "a"], read=True)
    assert store.unread() == 1
    assert [stored.read for stored in store.messages().messages] == [True, False, True]
    store.mark(None, read=True)
    assert store.unread() == 0
    store.mark(["b"], read=False)
    assert [stored.id for stored in store.messages("is:unread").messages] == ["b"]
    store.mark(None, read=False)
    assert store.unread() == 3


@pytest.mark.parametrize(
    ("recipients", "tags"),
    [
        (("alice+news@example.com",), ("news",)),
        (("alice@example.com", "Postmaster"), ()),
        (("alice+@example.com",), ()),
        (("a+x@example.com", "b+y@example.com", "c+x@example.com"), ("x", "y")),
        (("a+x+y@example.com",), ("x+y",)),
        (("a+Ünï@example.com",), ("Ünï",)),
        (('"a b+two words"@example.com',), ("two words",)),
        (('"a+b@c"@example.com',), ("b@c",)),
        (('"a+\\"b|"@example.com',), ('"b|',)),
        (('"a+  "@example.com',), ()),
    ],
)
def test_the_tag_in_an_address(store: Store, recipients: tuple[str, ...], tags: tuple[str, ...]) -> None:
    store.add_message(message("1", recipients=recipients))
    (stored,) = store.messages().messages
    assert stored.tags == tags
    assert store.tags() == sorted(tags)
    for tag in tags:
        if '"' not in tag:
            assert store.messages(f'tag:"{tag}"').total == 1


def test_tags_by_rule(open_store: Opener) -> None:
    """By what the envelope, the headers and the text say, together with those of addresses and of rules before."""
    rules = (TagRule("bill", "subject:invoice"), TagRule("Müller", "müller"), TagRule("both", "tag:bill tag:plus"))
    store = open_store(tag_rules=rules)
    store.add_message(
        message("a", b"Subject: Invoice\r\n\r\nDear M\xc3\xbcller\r\n", recipients=("x+plus@example.com",))
    )
    store.add_message(message("b", b"Subject: other\r\n\r\nDear MUELLER\r\n"))
    assert [stored.tags for stored in store.messages().messages] == [(), ("plus", "bill", "Müller", "both")]
    store.add_message(message("c", b"Subject: invoice again\r\n\r\n"))
    store.tag(["a"], [])
    assert [stored.tags for stored in store.messages().messages] == [("bill",), (), ()]
    assert store.tags() == ["bill"]


def test_tags_by_hand(store: Store) -> None:
    store.add_message(message("a", recipients=("x+plus@example.com",)))
    store.tag(["a"], [" two  words ", "B", "", "B", "ü", "line\nfeed", "caf\ud8e9", "  "])
    (stored,) = store.messages().messages
    assert stored.tags == ("two words", "B", "ü", "line feed", "caf?")
    assert store.tags() == ["B", "caf?", "line feed", "two words", "ü"]
    store.tag(["a"], [])
    assert store.tags() == []


def test_delete(store: Store) -> None:
    for id_ in "abcde":
        store.add_message(message(id_, b"Subject: same\r\n\r\nhello " + id_.encode() * 3))
    assert store.messages("same").total == 5
    store.delete(["b", "e", "nothing", "b"])
    assert ids(store) == ["a", "c", "d"]
    assert store.messages("hello").total == 3
    assert store.messages("bbb").total == 0
    store.add_message(message("f", b"Subject: same\r\n\r\nhello fff"))
    assert [stored.id for stored in store.messages("fff").messages] == ["f"]
    assert ids(store) == ["a", "c", "d", "f"]
    store.delete(None)
    assert ids(store) == []
    assert store.messages("hello").total == 0
    assert (store.unread(), store.octets) == (0, 0)
    store.add_message(message("g"))
    assert ids(store) == ["g"]


# Transcripts.


def test_transcripts_come_back(store: Store) -> None:
    hostile = b"NOOP \xff\0\x1b[2J \xf0\x9f\x98\x80\r\n"
    growing = transcript(hostile)
    store.begin_session(1, growing)
    running = store.transcript(1)
    assert running == growing
    growing.events.append(Event(1.0, "net", "close", "quit"))
    store.end_session(1, 0)
    store.end_session(1, 0)
    store.add_message(message("a", session=1))
    store.flush()
    assert store.transcript(1) == growing
    assert store.transcripts() == [growing]
    assert store.received()[0].transcript == growing
    store.forget_sessions()
    assert store.transcripts() == []
    assert store.received()[0].transcript.events == []
    store.end_session(1, 0)
    assert store.session_numbers() == (0, [])


def test_messages_of_one_session_share_its_transcript(tmp_path: File) -> None:
    """It is unpacked once, not once for each of them."""
    store = Store(str(tmp_path / "store.db"))
    store.begin_session(1, transcript())
    for number in range(100):
        store.add_message(message(f"m{number}"))
    store.end_session(1, 0)
    store.flush()
    assert len({id(received.transcript) for received in store.received()}) == 1
    store.close()


# Files.


def test_a_file_is_opened_again(tmp_path: File) -> None:
    path = str(tmp_path / "store.db")
    store = Store(path)
    store.begin_session(41, transcript(b"NOOP first\r\n"))
    for id_ in "abc":
        store.add_message(
            message(id_, b"Subject: old\r\n\r\n", session=41, user="юзер", recipients=("x+t@example.com",))
        )
    store.end_session(41, 0)
    store.mark(["b"], read=True)
    store.tag(["c"], ["by hand"])
    before = store.messages().messages
    store.close()

    store = Store(path)
    assert store.last_session == 41
    assert store.messages().messages == before
    assert (store.count, store.unread(), store.tags()) == (3, 2, ["by hand", "t"])
    assert store.received()[0].transcript.events[0].data == b"NOOP first\r\n"
    store.add_message(message("d", b"Subject: new\r\n\r\n", session=42))
    assert ids(store) == ["a", "b", "c", "d"]
    assert [stored.id for stored in store.messages("new").messages] == ["d"]
    store.close()
    store = Store(path)
    assert store.last_session == 42
    assert ids(store) == ["a", "b", "c", "d"]
    store.close()


def test_the_lab_goes_on_counting_sessions(tmp_path: File) -> None:
    path = str(tmp_path / "store.db")
    for run in (1, 2):
        store = Store(path)
        with Lab(store=store).running() as lab, socket.create_connection((lab.host, lab.port), timeout=30) as client:
            client.sendall(b"QUIT\r\n")
            while client.recv(4096):
                pass
        assert lab.lab.session_count == 1
        store.close()
        store = Store(path)
        assert store.last_session == run
        assert store.session_numbers() == (run, list(range(run, 0, -1)))
        store.close()


def test_other_bounds_hold_from_the_start(tmp_path: File) -> None:
    path = str(tmp_path / "store.db")
    store = Store(path)
    for number in range(1, 31):
        store.begin_session(number, transcript())
        store.add_message(message(f"m{number}", session=number))
        store.end_session(number, 0)
    assert store.messages("hello").total == 30
    store.close()
    store = Store(path, keep=Keep(messages=4, sessions=3))
    assert ids(store) == ["m27", "m28", "m29", "m30"]
    assert store.messages("hello").total == 4
    assert store.session_numbers() == (3, [30, 29, 28])
    store.close()


def test_a_file_is_for_its_owner_alone(tmp_path: File) -> None:
    store = Store(str(tmp_path / "store.db"))
    store.add_message(message("a"))
    store.flush()
    assert {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()} == {0o600}
    store.close()


def foreign(path: File, *statements: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as database:
        for statement in ("CREATE TABLE other (x)", *statements):
            database.execute(statement)
        database.commit()


@pytest.mark.parametrize(
    "make",
    [
        lambda path: path.write_text("Subject: this is no database\n" * 100),
        lambda path: path.write_bytes(b"SQLite format 3\0" + b"\xff" * 4096),
        lambda path: path.mkdir(),
        lambda path: path.symlink_to("/nowhere/at/all"),
        lambda path: foreign(path),
        lambda path: foreign(path, "PRAGMA user_version = 1"),
        lambda path: foreign(path, "PRAGMA user_version = 2", f"PRAGMA application_id = {0x65686C6F}"),
    ],
    ids=["text", "broken header", "folder", "dangling link", "foreign", "foreign 1", "layout 2"],
)
def test_what_is_no_store_is_refused(tmp_path: File, make: Callable[[File], object]) -> None:
    """In one sentence, and the file stays as it is."""
    path = tmp_path / "store.db"
    make(path)
    before = path.read_bytes() if path.is_file() else b""
    with pytest.raises(StoreError) as caught:
        Store(str(path))
    said = str(caught.value)
    assert str(path) in said
    assert said.endswith(".")
    assert "\n" not in said
    assert (path.read_bytes() if path.is_file() else b"") == before


def test_a_damaged_store_is_refused(tmp_path: File) -> None:
    path = tmp_path / "store.db"
    store = Store(str(path))
    for number in range(200):
        store.add_message(sized(f"m{number}", 1000))
    store.close()
    octets = path.read_bytes()
    path.write_bytes(octets[:4096] + b"\xa5" * (len(octets) - 4096))
    with pytest.raises(StoreError, match=r"^The store .* cannot be opened: .*\.$"):
        Store(str(path))


def test_where_no_file_can_be(tmp_path: File) -> None:
    for path in (str(tmp_path / "no" / "folder" / "store.db"), "/proc/store.db"):
        with pytest.raises(StoreError, match=r"^The store .* cannot be opened: .*\.$"):
            Store(path)


def test_a_file_in_use_is_refused(tmp_path: File) -> None:
    """Two labs that number their messages alike would lose those of one of them."""
    path = str(tmp_path / "store.db")
    store = Store(path)
    store.add_message(message("a"))
    store.flush()
    with pytest.raises(StoreError, match=r"store\.db cannot be opened: another lab has it open\.$"):
        Store(path)
    store.add_message(message("b"))
    assert ids(store) == ["a", "b"]
    store.close()
    again = Store(path)
    assert ids(again) == ["a", "b"]
    again.close()


def test_an_empty_file_becomes_a_store(tmp_path: File) -> None:
    path = tmp_path / "store.db"
    path.touch()
    store = Store(str(path))
    store.add_message(message("a"))
    assert ids(store) == ["a"]
    store.close()


@pytest.mark.parametrize("durable", [False, True])
def test_a_full_disk(tmp_path: File, durable: bool) -> None:
    """What was taken is there, what cannot be written is not taken, and afterwards it goes on."""
    store = Store(str(tmp_path / "store.db"), durable=durable)
    taken = []
    bound = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, bound[1]))
    try:
        for number in range(200):
            store.begin_session(number, transcript())
            if store.add_message(sized(f"m{number}", 20_000)):
                taken.append(f"m{number}")
            store.end_session(number, 0)
            store.flush()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, bound)
    assert 10 < len(taken) < 150
    assert store.flush()
    assert store.add_message(sized("later", 20_000))
    assert ids(store) == [*taken, "later"]
    store.close()
    again = Store(str(tmp_path / "store.db"))
    assert ids(again) == [*taken, "later"]
    again.close()


@contextlib.contextmanager
def full_disk(octets: int) -> Iterator[None]:
    """No file may grow beyond so many octets."""
    bound = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (octets, bound[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, bound)


def test_what_is_there_can_be_read_on_a_full_disk(tmp_path: File) -> None:
    store = Store(str(tmp_path / "store.db"), durable=True, tag_rules=[TagRule("x", "subject:hello")])
    assert store.add_message(message("a", b"Subject: hello\r\n\r\nbody\r\n"))
    with full_disk(1):
        assert not store.add_message(message("b"))
        (found,) = store.messages().messages
        assert (found.id, found.summary["Subject"]) == ("a", "hello")
        assert (store.message("a") or found).summary["Subject"] == "hello"
        assert store.raw("a") == b"Subject: hello\r\n\r\nbody\r\n"
        with pytest.raises(StoreError, match="cannot be written"):
            store.delete(["a"])
        with pytest.raises(StoreError, match="cannot be written"):
            store.mark(None, read=True)
        with pytest.raises(StoreError, match="cannot be written"):
            store.tag(["a"], ["y"])
    assert [found.tags for found in store.messages().messages] == [("x",)]
    store.delete(None)
    assert ids(store) == []
    assert store.close() == 0


def test_what_is_lost_is_counted(tmp_path: File, caplog: pytest.LogCaptureFixture) -> None:
    store = Store(str(tmp_path / "store.db"))
    with full_disk(1):
        assert store.add_message(message("a"))
        assert store.add_message(message("b"))
        store.settle()
        store.settle()
        assert not store.add_message(message("c"))
        assert store.close() == 2
    (warning,) = caplog.messages
    assert warning.startswith(f"The store {tmp_path / 'store.db'} cannot be written: ")


# Threads.


def test_threads_do_not_disturb_each_other(open_store: Opener) -> None:
    """Two write, one reads and searches, one marks, tags and deletes; nothing is lost but what was deleted."""
    store = open_store(tag_rules=(TagRule("even", "even"),))
    count = 300
    errors: list[Exception] = []
    writing = threading.Event()
    deleted: set[str] = set()

    def write(name: str) -> None:
        for number in range(count):
            session = number + (count if name == "b" else 0)
            store.begin_session(session, transcript())
            parity = b"even" if number % 2 == 0 else b"odd"
            assert store.add_message(message(f"{name}{number}", b"Subject: " + parity + b"\r\n\r\n", session=session))
            store.end_session(session, 0)

    def read() -> None:
        while writing.is_set():
            found = store.messages("even", limit=-1)
            assert found.total == len(found.messages)
            assert all("even" in stored.tags for stored in found.messages if stored.id not in deleted)
            assert len(store.transcripts()) <= 2 * count
            assert store.unread() >= 0
            store.received()

    def change() -> None:
        while writing.is_set():
            for stored in store.messages("-is:read", limit=5).messages:
                store.mark([stored.id], read=True)
            for stored in store.messages("odd", limit=1).messages:
                deleted.add(stored.id)
                store.delete([stored.id])

    def guarded(work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:
            errors.append(error)

    writing.set()
    writers = [threading.Thread(target=guarded, args=(lambda name=name: write(name),)) for name in "ab"]
    others = [threading.Thread(target=guarded, args=(work,)) for work in (read, change)]
    for thread in (*writers, *others):
        thread.start()
    for thread in writers:
        thread.join(60)
    writing.clear()
    for thread in others:
        thread.join(60)
    assert not errors
    kept = ids(store)
    for name in "ab":
        expected = [f"{name}{number}" for number in range(count) if f"{name}{number}" not in deleted]
        assert [id_ for id_ in kept if id_.startswith(name)] == expected
    assert store.session_numbers()[0] == 2 * count
