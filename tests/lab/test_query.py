"""What can be searched for among captured messages, and that no query does anything but find."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ehlo.lab.policy import Envelope
from ehlo.lab.query import where
from ehlo.lab.store import Store
from ehlo.smtp.address import NULL_PATH, parse_path

DAY = 86_400.0
#: When the first of the messages came; each of the others comes a day after the one before.
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp()

INVOICE = """From: Alice Müller <alice@example.org>
To: Bob <bob@example.com>
Cc: Carol <carol@example.com>
Subject: Invoice 100% due
Message-ID: <first@example.org>

Pay the "two words" by Friday, says O'Brien.
"""
REPORT = """From: Bob <bob@example.com>
To: Alice <alice@example.org>
Subject: quarterly_report
Message-ID: <second@example.com>
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=cut

--cut
Content-Type: text/plain

In C:\\reports\\ there is more.
--cut
Content-Type: application/pdf; name=figures.pdf
Content-Disposition: attachment; filename=figures.pdf

%PDF
--cut--
"""
RESUME = """From: =?utf-8?q?=D0=AE=D0=BB=D1=8F?= <юля@пример.рф>
To: hidden
Reply-To: Büro <desk@example.net>
Subject: =?utf-8?b?UsOpc3Vtw6kg5pel5pys6Kqe?=

ÄRGER mit ß und 東京.
"""
BARE = "no header at all, ok; 50_50\n" + "x" * 3000


#: Each message by its id: its envelope, its session and its content.
MESSAGES = {
    "invoice": ("alice@example.org", ["bob+bills@example.com", "carol@example.com", "secret@example.com"], 1, INVOICE),
    "report": ("bob@example.com", ["alice@example.org"], 1, REPORT),
    "resume": ("юля@пример.рф", ["boss+Übung@example.com"], 2, RESUME),
    "bare": ("", ["recipient@example.com"], 3, BARE),
}


def fill(store: Store) -> Store:
    """Put the messages in, a day apart, the first of them read, the second one tagged."""
    with pytest.MonkeyPatch.context() as patch:
        for day, (id_, (sender, recipients, session, text)) in enumerate(MESSAGES.items()):
            patch.setattr("ehlo.lab.store.time", SimpleNamespace(time=lambda day=day: NOON + day * DAY))
            store.add_message(
                Envelope(
                    id_,
                    parse_path(f"<{sender}>") if sender else NULL_PATH,
                    tuple(parse_path(f"<{address}>") for address in recipients),
                    text.replace("\n", "\r\n").encode(),
                    session,
                )
            )
    store.mark(["invoice"], read=True)
    store.tag(["report"], ["Work", "two words", "100%"])
    return store


@pytest.fixture(name="store", scope="module")
def filled_store() -> Iterator[Store]:
    store = fill(Store())
    yield store
    store.close()


def find(store: Store, query: str) -> list[str]:
    """The ids of what a query finds, the oldest first."""
    found = store.messages(query)
    assert found.total == len(found.messages)
    return [stored.id for stored in reversed(found.messages)]


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        # Nothing, and words without a field.
        ("", "invoice report resume bare"),
        ("   \t", "invoice report resume bare"),
        ("friday", "invoice"),
        ("pay friday", "invoice"),
        ("friday pdf", ""),
        ("figures.pdf", "report"),
        ("alice", "invoice report"),
        # Quotes: a phrase, one that is not closed, none.
        ('"two words"', "invoice"),
        ('"words two"', ""),
        ('"two words', "invoice"),
        ('""', "invoice report resume bare"),
        ('"', "invoice report resume bare"),
        # Short words are found, too.
        ("ok", "bare"),
        ("ß", "resume"),
        ("%", "invoice"),
        ("_", "report bare"),
        ("東京", "resume"),
        ("京", "resume"),
        # Letters are alike in both cases, beyond ASCII as well.
        ("FRIDAY", "invoice"),
        ("ärger", "resume"),
        ("är", "resume"),
        ("subject:RÉSUMÉ", "resume"),
        ("from:MÜLLER", "invoice"),
        ("from:ЮЛЯ", "resume"),
        # What has a meaning in SQL has none here.
        ("subject:%", "invoice"),
        ("subject:100%", "invoice"),
        ("subject:1%0", ""),
        ("subject:_", "report"),
        ("subject:quarterly?report", ""),
        ("O'Brien", "invoice"),
        ("o'b", "invoice"),
        ("'", "invoice"),
        ("C:\\reports\\", "report"),
        ("\\", "report"),
        ("50_50", "bare"),
        ("50x50", ""),
        ("NEAR(friday pay)", ""),
        ("friday OR nothing", ""),
        ("fri*", ""),
        # Fields.
        ("from:alice", "invoice"),
        ("from:example.com", "report"),
        ("FROM:alice", "invoice"),
        ("to:bob", "invoice"),
        ("to:secret", "invoice"),
        ("to:boss", "resume"),
        ("to:hidden", "resume"),
        ("cc:carol", "invoice"),
        ("cc:secret", ""),
        ("bcc:secret", "invoice"),
        ("bcc:carol", ""),
        ("bcc:alice", ""),
        ("bcc:recipient", "bare"),
        ("-bcc:recipient", "invoice report resume"),
        ("reply-to:desk", "resume"),
        ("reply-to:BÜRO", "resume"),
        ("reply-to:name", ""),
        ("-reply-to:desk", "invoice report bare"),
        ("addressed:carol", "invoice"),
        ("addressed:desk", "resume"),
        ("addressed:bob", "invoice report"),
        ("addressed:юля", "resume"),
        ("subject:invoice", "invoice"),
        ('subject:"invoice 100"', "invoice"),
        ('subject:"100 invoice"', ""),
        ("subject:friday", ""),
        ("subject:日本語", "resume"),
        ('subject:""', "invoice report resume bare"),
        ("message-id:first@example.org", "invoice"),
        ("message-id:second", "report"),
        # As they stand in a header.
        ("message-id:<first@example.org>", "invoice"),
        ("to:<bob@example.com>", "invoice"),
        ("from:<alice@example.org>", "invoice"),
        ("from:<>", ""),
        ("message-id:friday", ""),
        ("is:read", "invoice"),
        ("is:unread", "report resume bare"),
        ("is:tagged", "invoice report resume"),
        ("is:else", ""),
        ("has:attachment", "report"),
        ("has:attachments", "report"),
        ("has:wings", ""),
        ("tag:work", "report"),
        ("tag:WORK", "report"),
        ("tag:wor", ""),
        ('tag:"two words"', "report"),
        ("tag:two", ""),
        ("tag:100%", "report"),
        ("tag:bills", "invoice"),
        ("tag:übung", "resume"),
        ('tag:""', ""),
        ("session:1", "invoice report"),
        ("session:2", "resume"),
        ("session:999999999999999", ""),
        ("session:one", ""),
        ("larger:3000", "bare"),
        ("larger:2k", "bare"),
        ("larger:2KB", "bare"),
        ("larger:1M", ""),
        ("larger:2.5k", "bare"),
        ("smaller:0.003M", "invoice report resume bare"),
        ("larger:.", ""),
        ("smaller:2k", "invoice report resume"),
        ("larger:0", "invoice report resume bare"),
        ("larger:999999999999m", ""),
        ("larger:much", ""),
        ("before:2026-03-02", "invoice"),
        ("after:2026-03-02", "report resume bare"),
        ("after:2026/03/04", "bare"),
        ("after:2026-03-02T12:00:00Z before:2026-03-03T12:00:00+00:00", "report"),
        ("before:yesterday", ""),
        ("before:0001-01-01T00:00:00+23:59", ""),
        ("after:9999-12-31T23:59:59-23:59", ""),
        # Not.
        ("-friday", "report resume bare"),
        ("!friday", "report resume bare"),
        ("-from:alice", "report resume bare"),
        ("!tag:work", "invoice resume bare"),
        ('-"two words"', "report resume bare"),
        ("-ok", "invoice report resume"),
        ("from:alice -subject:invoice", ""),
        ("-from:alice -is:unread", ""),
        ("-is:else", "invoice report resume bare"),
        ("-session:1 -session:2", "bare"),
        # A field that is not known is part of the word.
        ("words:friday", ""),
        ("c:\\reports", "report"),
        ("http://nowhere", ""),
        ("subject:", ""),
        ("subject: friday", ""),
    ],
)
def test_search(store: Store, query: str, ids: str) -> None:
    assert find(store, query) == ids.split()


def test_a_page_of_what_is_found(store: Store) -> None:
    total, messages = store.messages("-tag:bills", start=1, limit=1)
    assert total == 3
    assert [stored.id for stored in messages] == ["resume"]


#: What people have tried on other databases.
HOSTILE = [
    "'; DROP TABLE messages; --",
    "x' OR '1'='1",
    "subject:') OR 1=1 --",
    'subject:"\'); DELETE FROM messages; --"',
    '" OR text MATCH "a',
    "tag:')) UNION SELECT raw FROM messages --",
    "session:1;DELETE",
    "text:a NOT b",
    "{text}: ^a + b*",
    "\\' \\\" \\% ? ?1 :name @name $name",
    "a\0b",
    "\0",
    "abc\0",
    "\ud800abc \udfff -subject:\ud800 tag:\udfff from:\ud800",
    '-"',
    "-",
    "!!--!",
    '"""""""',
    "larger:٣ session:٣ larger:" + "9" * 400,
    "after:9999-99-99 after:0001-01-01 before:-1 after:1e999",
    "word" * 50_000,
    "subject:" + "%" * 100_000,
    "from:" + "a-" * 50_000,
    "a-" * 50_000 + ":",
    " ".join(f"w{number}" for number in range(20_000)),
    " ".join(f"-to:w{number}" for number in range(20_000)),
    "friday " * 50_000,
]


@pytest.fixture(name="untouched", scope="module")
def untouched_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Store, list[tuple[object, ...]]]]:
    """A store, and all that is in it."""
    store = fill(Store(str(tmp_path_factory.mktemp("query") / "store.db")))
    yield store, contents(store)
    store.close()


def contents(store: Store) -> list[tuple[object, ...]]:
    return [(*stored, raw) for stored, raw in store.each_raw()]


FIELDS = [
    *[
        "from:",
        "to:",
        "cc:",
        "bcc:",
        "reply-to:",
        "addressed:",
        "subject:",
        "message-id:",
        "tag:",
        "is:",
        "has:",
        "larger:",
    ],
    *["smaller:", "after:", "before:", "session:"],
]


@given(
    st.one_of(
        st.text(),
        st.text("ab \"'%_\\-!:\0*()^;?ü\ud800"),
        st.lists(
            st.tuples(
                st.sampled_from(["", "-", "!"]),
                st.sampled_from([*FIELDS, "", "x:"]),
                st.text("abk0129-/:T+Z %_\"'\\٣ü") | st.datetimes().map(str) | st.integers().map(str),
            ).map("".join)
        ).map(" ".join),
    )
)
def test_any_query_only_finds(untouched: tuple[Store, list[tuple[object, ...]]], query: str) -> None:
    """Whatever stands in a query: it is answered, its opposite as well, and the store is as before."""
    store, before = untouched
    found = store.messages(query)
    assert found.total == len(found.messages) <= len(MESSAGES)
    assert contents(store) == before


@pytest.mark.parametrize("query", HOSTILE, ids=lambda query: ascii(query[:20]))
def test_hostile_queries_only_find(untouched: tuple[Store, list[tuple[object, ...]]], query: str) -> None:
    store, before = untouched
    store.messages(query)
    assert contents(store) == before
    assert find(store, "friday") == ["invoice"]


def test_no_value_is_in_the_sql() -> None:
    """What was typed is handed over beside the condition."""
    for query in HOSTILE:
        sql, values = where(query)
        assert sql.count("?") == len(values)
        assert "DROP" not in sql
        assert "DELETE" not in sql
        assert "w1" not in sql


SUBJECT, TEXT = "Invoice 100% due", 'Pay the "two words" by Friday, says O\'Brien.'


@given(st.integers(0, len(TEXT)), st.integers(1, len(TEXT)), st.sampled_from([str, str.upper, str.swapcase]))
@example(0, 1, str)
def test_every_piece_of_a_text_is_found(store: Store, start: int, length: int, change: type[str]) -> None:
    """What a message says finds it, with its words in quotes, however long or short the piece."""
    for field, text in (("", TEXT), ("subject:", SUBJECT)):
        piece = change(text[start : start + length]).replace('"', "")
        if piece in text or piece.lower() in text.lower():
            assert "invoice" in find(store, f'{field}"{piece}"')
            assert "invoice" not in find(store, f'-{field}"{piece}"') or not piece


@given(st.text(st.characters(exclude_characters='"\0', exclude_categories=["Cs"]), max_size=5))
def test_a_subject_is_found_as_python_finds_it(store: Store, text: str) -> None:
    subjects = {stored.id: str(stored.summary["Subject"]) for stored in store.messages().messages}
    expected = [id_ for id_ in MESSAGES if text.casefold() in subjects[id_].casefold()]
    assert find(store, f'subject:"{text}"') == expected
    assert find(store, f'-subject:"{text}"') == [id_ for id_ in MESSAGES if id_ not in expected]
