"""Many clients, many messages, slow clients, and a death in mid-write: nothing is lost, nothing grows without bound."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import re
import resource
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from ehlo.lab import Lab, Limits, Policy, RunningLab
from ehlo.lab.lab import _TICK
from ehlo.lab.persona import load_persona, persona_names
from ehlo.lab.store import Keep, Store
from ehlo.web.serving import WebServer

#: Nothing here takes as long; what hangs ends with an error.
PATIENCE = 60.0
QUEUED = b"250 2.0.0 Ok: queued as "
_LAST_LINE = re.compile(rb"\d{3}[ \r]")


class Client:
    """A raw connection on an event loop, which says what it is told to, and waits for nothing unless asked."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def say(self, octets: bytes) -> None:
        self.writer.write(octets)

    async def reply(self) -> bytes:
        """The last line of the next reply; nothing if the lab has closed."""
        while not _LAST_LINE.match(line := await self.reader.readline()) and line:
            pass
        return line

    async def ask(self, line: bytes) -> bytes:
        self.say(line + b"\r\n")
        return await self.reply()

    async def deliver(self, subject: str) -> bytes:
        """Deliver a message, its commands one after the other; the reply to the one that was refused, or the last."""
        for line in (b"MAIL FROM:<a@b.org>", b"RCPT TO:<recipient@example.com>", b"DATA"):
            reply = await self.ask(line)
            if reply[:1] not in b"23" or not reply:
                return reply
        return await self.ask(b"Subject: " + subject.encode() + b"\r\n\r\nHello.\r\n.")


@asynccontextmanager
async def client(port: int, *, hello: bool = True) -> AsyncIterator[Client]:
    """A connection, greeted and greeting."""
    async with asyncio.timeout(PATIENCE):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            it = Client(reader, writer)
            if hello:
                assert (await it.reply()).startswith(b"220 ")
                assert (await it.ask(b"EHLO x.org")).startswith(b"250 ")
            yield it
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


async def deliver_some(port: int, name: str, count: int) -> None:
    """A session with so many messages, each of which is taken."""
    async with client(port) as it:
        for number in range(count):
            assert (await it.deliver(f"{name}-{number}")).startswith(QUEUED)
        assert (await it.ask(b"QUIT")).startswith(b"221 ")


async def pipeline(port: int, numbers: range) -> None:
    """A session that says all it has to say at once, and reads the replies meanwhile."""
    said = b"".join(
        b"MAIL FROM:<a@b.org>\r\nRCPT TO:<recipient@example.com>\r\nDATA\r\n"
        b"Subject: %d\r\n\r\n%s\r\n.\r\n" % (number, b"x" * 200)
        for number in numbers
    )
    async with client(port) as it:
        it.say(said + b"QUIT\r\n")
        assert (await it.reader.read()).count(QUEUED) == len(numbers)


def subjects(lab: RunningLab | Store) -> list[str]:
    """The subjects of what is kept, the oldest first."""
    store = lab if isinstance(lab, Store) else lab.lab.store
    assert store is not None
    return [str(stored.summary["Subject"]) for stored in reversed(store.messages(limit=-1).messages)]


def resident() -> int:
    """The octets of memory that this process has."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@contextmanager
def files(count: int) -> Iterator[None]:
    """So many files can be open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        pytest.skip(f"{count} open files are not allowed here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture(name="lab")
def running_lab() -> Iterator[RunningLab]:
    with Lab().running() as lab:
        yield lab


def settled(holds: Callable[[], bool]) -> None:
    """What sessions leave behind is cleared up a moment after they end."""
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


# Many clients.


def test_a_thousand_idle_clients_and_twenty_others(lab: RunningLab) -> None:
    async def play() -> None:
        async with contextlib.AsyncExitStack() as stack:
            held = [await stack.enter_async_context(client(lab.port)) for _ in range(1000)]
            await asyncio.gather(*(deliver_some(lab.port, f"c{each}", 10) for each in range(20)))
            assert sum(lab.lab.is_running(number) for number in range(1, 1021)) >= 1000
            for each in held:
                each.say(b"NOOP\r\n")
            assert {await each.reply() for each in held} == {b"250 2.0.0 Ok\r\n"}

    with files(2500):
        asyncio.run(play())
    assert sorted(subjects(lab)) == sorted(f"c{each}-{number}" for each in range(20) for number in range(10))
    settled(lambda: not any(lab.lab.is_running(number) for number in range(1, 1021)))
    assert lab.lab.session_count == 1020


def test_a_thousand_slow_clients_and_twenty_others(lab: RunningLab) -> None:
    """Clients that send an octet every now and then cost the others nothing but that."""
    message = b"MAIL FROM:<slow@b.org>\r\nRCPT TO:<recipient@example.com>\r\nDATA\r\nSubject: slow\r\n\r\n.\r\n"
    quick = asyncio.Event()

    async def crawl(it: Client, start: float) -> None:
        await asyncio.sleep(start)
        for place in range(len(message)):
            if quick.is_set():
                it.say(message[place:])
                break
            it.say(message[place : place + 1])
            await asyncio.sleep(1.0)
        replies = [await it.reply() for _ in range(4)]
        assert replies[-1].startswith(QUEUED)

    async def play() -> None:
        async with contextlib.AsyncExitStack() as stack:
            slow = [await stack.enter_async_context(client(lab.port)) for _ in range(1000)]
            async with asyncio.TaskGroup() as group:
                for place, it in enumerate(slow):
                    group.create_task(crawl(it, place / 1000))
                await asyncio.sleep(1.0)
                await asyncio.gather(*(deliver_some(lab.port, f"c{each}", 10) for each in range(20)))
                assert len(lab.messages) == 200
                quick.set()

    with files(2500):
        asyncio.run(play())
    came = subjects(lab)
    assert len(came) == 1200
    assert came.count("slow") == 1000


def test_clients_that_do_not_read(lab: RunningLab) -> None:
    """Replies that nobody reads are not piled up: the lab stops listening to such a client until it reads."""
    count, line = 200_000, b"NOOP\r\n"

    async def play() -> None:
        async with client(lab.port) as it:
            before = resident()
            it.say(line * count)
            await deliver_some(lab.port, "other", 10)
            await asyncio.sleep(0.5)
            assert resident() - before < 400_000_000
            replies = 0
            while replies < count:
                replies += (await it.reader.read(65536)).count(b"\n")
            assert replies == count

    asyncio.run(play())
    assert len(lab.messages) == 10


# Many messages.


def test_a_hundred_thousand_messages() -> None:
    """The newest 10,000 are kept, in order; from the second ten thousand on, memory grows no more."""
    store = Store(keep=Keep(messages=10_000, octets=20_000_000, sessions=50))
    with Lab(store=store).running() as lab:
        began = time.monotonic()
        warm = 0
        for start in range(0, 100_000, 1000):
            asyncio.run(pipeline(lab.port, range(start, start + 1000)))
            if start == 29_000:
                warm = resident()
        growth = resident() - warm
        took = time.monotonic() - began
        assert store.count == 10_000
        assert subjects(lab) == [str(number) for number in range(90_000, 100_000)]
        assert len(lab.sessions) <= 50
        assert lab.lab.session_count == 100
    print(f"100,000 messages: {took:.1f} s, memory grew by {growth / 1e6:.1f} MB after the first 30,000")
    assert growth < 60_000_000
    store.close()


def test_a_hundred_thousand_messages_into_a_file(tmp_path: Path) -> None:
    """The file does not outgrow its bound either: what was deleted makes room."""
    from ehlo.lab.policy import Envelope
    from ehlo.smtp.address import parse_path

    path = tmp_path / "store.db"
    store = Store(str(path), keep=Keep(messages=10_000))
    sender = parse_path("<a@b.org>")
    warm = size = 0
    for number in range(100_000):
        content = b"Subject: %d\r\n\r\n%s\r\n" % (number, b"x" * 500)
        store.add_message(Envelope(f"{number:X}", sender, (sender,), content, number // 1000))
        if number == 30_000:
            warm, size = resident(), sum(file.stat().st_size for file in tmp_path.iterdir())
    assert resident() - warm < 60_000_000
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 2 * size
    assert subjects(store) == [str(number) for number in range(90_000, 100_000)]
    store.close()


# Somebody watches.


@contextmanager
def watched(lab: Lab) -> Iterator[tuple[RunningLab, WebServer, list[bytes]]]:
    """A lab with its page, and what a reader of the event stream is told meanwhile, line by line."""
    web = WebServer(lab)
    lab.companions.append(web)
    told: list[bytes] = []

    def read(stream: socket.socket) -> None:
        # In the end the connection is closed under its hands.
        with contextlib.suppress(OSError), stream.makefile("rb") as lines:
            told.extend(lines)

    with lab.running() as running, event_stream(web) as stream:
        reader = threading.Thread(target=read, args=(stream,), daemon=True)
        reader.start()
        settled(lambda: b"retry: 1000\n" in told)
        yield running, web, told
        stream.shutdown(socket.SHUT_RDWR)
        reader.join(PATIENCE)


@contextmanager
def event_stream(web: WebServer) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", web.port), timeout=PATIENCE) as stream:
        # In this version of HTTP the lines of the stream come as they are.
        stream.sendall(b"GET /api/v1/events HTTP/1.0\r\nHost: localhost\r\n\r\n")
        yield stream


def asked(web: WebServer, path: str) -> Any:
    with urllib.request.urlopen(f"http://127.0.0.1:{web.port}{path}", timeout=PATIENCE) as answer:
        return json.loads(answer.read())


def test_bulk_mail_while_somebody_reads_the_event_stream() -> None:
    """All is taken, and what the reader is told depends on how long it takes, not on how much is sent."""

    async def play(port: int) -> None:
        await asyncio.gather(*(deliver_some(port, f"c{each}", 200) for each in range(20)))

    with watched(Lab()) as (lab, web, told):
        began = time.monotonic()
        asyncio.run(play(lab.port))
        settled(lambda: not lab.lab._sessions)
        looks = (time.monotonic() - began) / 0.1 + 2
        assert len(lab.messages) == 4000
        # After each look at most a hundred messages, and each of the sessions, or one word that it was too much.
        assert sum(line.startswith(b"event: ") for line in told) <= looks * (100 + 20)
        listed = asked(web, "/api/v1/sessions")["sessions"]
        assert [(row["outcome"], row["message_count"]) for row in listed] == [("delivered", 200)] * 20
        # A word that it was too much is the last one, or the end of each session was told.
        ended = {
            json.loads(line[6:])["number"] for line in told if line.startswith(b"data: ") and b'"ended": true' in line
        }
        assert b"event: lost\n" in told or ended == set(range(1, 21))


def test_a_reader_that_does_not_read() -> None:
    """What waits for it is bounded, and the lab goes on."""
    with watched(Lab()) as (lab, web, _), event_stream(web) as stalled:
        assert stalled.recv(4096).startswith(b"HTTP/1.1 200")
        feed = web._feed
        assert feed is not None
        settled(lambda: len(feed._pages) == 2)
        for number in range(3000):
            web._task.get_loop().call_soon_threadsafe(feed.tell, "session", {"x" * 1000: number})  # type: ignore[union-attr]
        asyncio.run(deliver_some(lab.port, "c", 50))
        assert len(lab.messages) == 50
        assert max(page.qsize() for page in feed._pages) <= 2001


def test_a_page_that_asks_again_and_again_during_a_long_session() -> None:
    """Each answer is no larger, and what was read before is not read again, however long the session has become."""

    async def play(port: int, web: WebServer) -> None:
        seen = 0
        async with client(port) as it:
            for number in range(300):
                assert (await it.deliver(f"{number}")).startswith(QUEUED)
                if number % 10:
                    continue
                part = await asyncio.to_thread(asked, web, f"/api/v1/session/1/events?start={seen}")
                assert len(part["events"]) == part["event_count"] - seen <= 8 * 10 + 20
                seen = part["event_count"]

    with watched(Lab()) as (lab, web, _):
        asyncio.run(play(lab.port, web))
        settled(lambda: not lab.lab._sessions)
        session = asked(web, "/api/v1/session/1")
        assert (session["message_count"], len(session["messages"]), len(session["events"])) == (300, 100, 1000)
        events, start = session["events"], 1000
        while start < session["event_count"]:
            part = asked(web, f"/api/v1/session/1/events?start={start}&limit=700")
            events += part["events"]
            start += len(part["events"])
        assert len(events) == session["event_count"] == len(lab.sessions[0].events)
        assert [event["t"] for event in events] == [event.t for event in lab.sessions[0].events]


# A sudden end.

LAB = """
import sys, threading, time
from ehlo.lab import Lab
from ehlo.lab.store import Store

store = Store(sys.argv[1], durable=sys.argv[2] == "durable")
with Lab(store=store).running() as lab:
    print(lab.port, flush=True)
    while True:
        # Somebody looks at what comes in, so that there is an index to break as well.
        store.messages("hello", limit=3)
        time.sleep(0.05)
"""


@contextmanager
def lab_process(path: Path, mode: str) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """A lab in a process of its own: its port, and the process, which does not outlive the block."""
    with subprocess.Popen([sys.executable, "-c", LAB, str(path), mode], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline()), process
        finally:
            process.kill()


async def deliver_until_it_dies(port: int, name: str, noted: list[str], kill: Callable[[], None], enough: int) -> None:
    """Deliver, and note what was taken, until the lab is gone; with `enough` noted by all, it is killed."""
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        async with client(port) as it:
            for number in range(100_000):
                if not (await it.deliver(f"{name}-{number}")).startswith(QUEUED):
                    break
                noted.append(f"{name}-{number}")
                if len(noted) == enough:
                    kill()


@pytest.mark.parametrize("mode", ["durable", "quick"])
def test_killed_in_mid_write(tmp_path: Path, mode: str) -> None:
    """A durable store has all that was answered with 250; any store opens again, and has no gaps."""
    path = tmp_path / "store.db"
    everything: list[str] = []
    for run in range(4):
        noted: list[str] = []
        with lab_process(path, mode) as (port, process):

            async def play(
                port: int = port, process: subprocess.Popen[bytes] = process, run: int = run, noted: list[str] = noted
            ) -> None:
                def kill() -> None:
                    process.send_signal(signal.SIGKILL)

                await asyncio.gather(
                    *(deliver_until_it_dies(port, f"{run}-{each}", noted, kill, 200 + 77 * run) for each in range(8))
                )

            asyncio.run(play())
            assert process.wait(PATIENCE) == -signal.SIGKILL
        assert len(noted) >= 200 + 77 * run
        everything += noted
        with contextlib.closing(sqlite3.connect(path)) as database:
            assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        store = Store(str(path))
        kept = subjects(store)
        assert len(set(kept)) == len(kept) == store.count
        if mode == "durable":
            assert not set(everything) - set(kept)
        for each in range(8):
            numbers = [int(subject.split("-")[2]) for subject in kept if subject.startswith(f"{run}-{each}-")]
            assert numbers == list(range(len(numbers)))
        assert store.messages("hello").total == len(kept)
        store.close()


# Limits: each is said, and room is there again as soon as a session has ended.


def limited(**limits: float) -> RunningLab:
    return Lab(policy=Policy(limits=Limits(**limits))).running()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"sessions": 3}, b"421 4.3.2 mail.example.com All server ports are busy\r\n"),
        ({"per_client": 3}, b"421 4.7.0 mail.example.com Error: too many connections from 127.0.0.1\r\n"),
    ],
    ids=["sessions", "per_client"],
)
def test_too_many_sessions(limits: dict[str, float], said: bytes) -> None:
    async def play(lab: RunningLab) -> None:
        for _ in range(3):
            async with contextlib.AsyncExitStack() as stack:
                held = [await stack.enter_async_context(client(lab.port)) for _ in range(3)]
                for _ in range(20):
                    async with client(lab.port, hello=False) as it:
                        assert await it.reader.read() == said
                assert (await held[0].deliver("x")).startswith(QUEUED)
                # Once one has gone, there is room for one more.
                assert (await held[1].ask(b"QUIT")).startswith(b"221 ")
                assert await held[1].reader.read() == b""
                async with client(lab.port) as it:
                    assert (await it.deliver("y")).startswith(QUEUED)
                    async with client(lab.port, hello=False) as another:
                        assert await another.reader.read() == said
            await asyncio.to_thread(settled, lambda: not lab.lab._sessions)

    with limited(**limits) as lab:
        asyncio.run(play(lab))
        assert not lab.lab._from
        assert len(lab.messages) == 6


def test_too_many_messages_in_a_session() -> None:
    async def play(lab: RunningLab) -> None:
        for _ in range(3):
            async with client(lab.port) as it:
                for number in range(2):
                    assert (await it.deliver(f"{number}")).startswith(QUEUED)
                assert (
                    await it.deliver("2") == b"421 4.7.0 mail.example.com Error: too many messages in one session\r\n"
                )
                assert await it.reader.read() == b""

    with limited(messages=2) as lab:
        asyncio.run(play(lab))
        assert len(lab.messages) == 6


def test_too_many_commands() -> None:
    async def play(lab: RunningLab) -> None:
        for last, code in ((b"NOOP", b"421 4.7.0"), (b"QUIT", b"221 2.0.0")):
            async with client(lab.port) as it:
                for _ in range(4):
                    assert (await it.ask(b"NOOP")).startswith(b"250 ")
                assert (await it.ask(last)).startswith(code)
                assert await it.reader.read() == b""

    with limited(commands=5) as lab:
        asyncio.run(play(lab))


def test_too_many_recipients() -> None:
    async def play(lab: RunningLab) -> None:
        async with client(lab.port) as it:
            for _ in range(2):
                assert (await it.ask(b"MAIL FROM:<a@b.org>")).startswith(b"250 ")
                codes = [(await it.ask(b"RCPT TO:<recipient@example.com>"))[:9] for _ in range(5)]
                assert codes == [b"250 2.1.5"] * 3 + [b"452 4.5.3"] * 2
                assert (await it.ask(b"RSET")).startswith(b"250 ")

    with limited(recipients=3) as lab:
        asyncio.run(play(lab))


@pytest.mark.parametrize("name", sorted({*persona_names()} - {"minimal"}))
def test_a_session_that_takes_too_long(name: str) -> None:
    """Whatever code a persona has for it: Gmail's is no 421."""
    persona = load_persona(name)

    async def play(lab: RunningLab) -> None:
        async with client(lab.port) as it:
            reply = b"250 "
            while reply.startswith(b"250 "):
                reply = await it.ask(b"NOOP")
                await asyncio.sleep(0.01)
            assert reply.startswith(b"%d " % persona.say("timeout").code)
            assert await it.reader.read() == b""
        async with client(lab.port) as the_next:
            assert (await the_next.ask(b"NOOP")).startswith(b"250 ")

    with Lab(persona, Policy(limits=Limits(seconds=0.3))).running() as lab:
        asyncio.run(play(lab))


async def unfinished(stack: contextlib.AsyncExitStack, port: int, size: int) -> Client:
    """A client in the middle of a message."""
    it = await stack.enter_async_context(client(port))
    for line in (b"MAIL FROM:<a@b.org>", b"RCPT TO:<recipient@example.com>", b"DATA"):
        assert (await it.ask(line))[:1] in b"23"
    it.say((b"x" * 998 + b"\r\n") * (size // 1000))
    await it.writer.drain()
    return it


def test_unfinished_messages_take_too_much() -> None:
    """While they do, what comes in is put off; once they have gone, all is as it was."""

    async def play(lab: RunningLab) -> None:
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(5):
                await unfinished(stack, lab.port, 100_000)
            await asyncio.to_thread(settled, lambda: lab.lab._crowded)
            async with client(lab.port) as it:
                assert (await it.deliver("put off")).startswith(b"452 4.3.1")
        await asyncio.to_thread(settled, lambda: not lab.lab._crowded)
        await deliver_some(lab.port, "taken", 1)

    with limited(memory=300_000) as lab:
        asyncio.run(play(lab))
        assert subjects(lab) == ["taken-0"]


@pytest.mark.parametrize("idle", [True, False], ids=["idle", "in mid-message"])
def test_a_session_outlives_the_shortage(idle: bool) -> None:
    """Who was there while memory was short is served like anybody else afterwards, and put off, not refused, before."""

    async def play(lab: RunningLab) -> None:
        async with contextlib.AsyncExitStack() as stack:
            it = await stack.enter_async_context(client(lab.port)) if idle else await unfinished(stack, lab.port, 1000)
            async with contextlib.AsyncExitStack() as crowd:
                for _ in range(5):
                    await unfinished(crowd, lab.port, 100_000)
                await asyncio.to_thread(settled, lambda: lab.lab._crowded)
                await asyncio.sleep(0.5)
                said = await it.deliver("put off") if idle else await it.ask(b"more\r\n.")
                assert said.startswith(b"452 4.3.1")
            await asyncio.to_thread(settled, lambda: not lab.lab._crowded)
            assert (await it.deliver("taken")).startswith(QUEUED)

    with limited(memory=300_000) as lab:
        asyncio.run(play(lab))
        assert subjects(lab) == ["taken"]


def test_chunks_are_bounded_like_other_messages() -> None:
    """A message in many chunks (RFC 3030) is as large as all of them, and takes memory while it is not whole."""

    async def play(lab: RunningLab) -> None:
        async with client(lab.port) as it:
            for _ in range(2):
                for line in (b"MAIL FROM:<a@b.org>", b"RCPT TO:<recipient@example.com>"):
                    assert (await it.ask(line)).startswith(b"250 ")
                for _ in range(10):
                    it.say(b"BDAT 90000\r\n" + b"x" * 90_000)
                    assert await it.reply()
                assert (await it.ask(b"BDAT 0 LAST")).startswith(b"552 5.3.4")
                assert (await it.ask(b"RSET")).startswith(b"250 ")
            # A smaller one, and what is left of one that was given up, is no hindrance.
            for last in (b"RSET", b"BDAT 0 LAST"):
                for line in (b"MAIL FROM:<a@b.org>", b"RCPT TO:<recipient@example.com>"):
                    assert (await it.ask(line)).startswith(b"250 ")
                it.say(b"BDAT 90000\r\n" + b"x" * 90_000)
                assert (await it.reply()).startswith(b"250 ")
                assert (await it.ask(last)).startswith(b"250 ")
        assert [len(received.content) for received in lab.messages] == [90_000]

    policy = Policy(extensions=("CHUNKING",), limits=Limits(size=100_000))
    with Lab(policy=policy).running() as lab:
        asyncio.run(play(lab))


def test_unfinished_chunks_take_memory() -> None:
    async def play(lab: RunningLab) -> None:
        async with client(lab.port) as it, client(lab.port) as other:
            for line in (b"MAIL FROM:<a@b.org>", b"RCPT TO:<recipient@example.com>"):
                assert (await it.ask(line)).startswith(b"250 ")
            for _ in range(10):
                it.say(b"BDAT 90000\r\n" + b"x" * 90_000)
                assert (await it.reply()).startswith(b"250 ")
            await asyncio.sleep(0.5)
            assert (await other.deliver("put off")).startswith(b"452 4.3.1")
            it.say(b"RSET\r\n")
            await asyncio.sleep(0.5)
            assert (await other.deliver("taken")).startswith(QUEUED)

    policy = Policy(extensions=("CHUNKING",), limits=Limits(memory=300_000))
    with Lab(policy=policy).running() as lab:
        asyncio.run(play(lab))
        assert subjects(lab) == ["taken"]


@pytest.mark.parametrize(
    "limit",
    Limits._fields,
)
def test_zero_is_no_limit(limit: str) -> None:
    """Or the persona's own."""

    async def play(lab: RunningLab) -> None:
        async with contextlib.AsyncExitStack() as stack:
            await unfinished(stack, lab.port, 10_000)
            await asyncio.sleep(0.3)
            await deliver_some(lab.port, "x", 3)

    with limited(**{limit: 0}) as lab:
        asyncio.run(play(lab))
        assert len(lab.messages) == 3


def test_who_waits_for_the_end_of_a_session_is_woken_by_it() -> None:
    with Lab().running() as lab, socket.create_connection((lab.host, lab.port), timeout=30) as client:
        client.recv(1000)
        looks = 0

        def has_ended() -> bool:
            nonlocal looks
            looks += 1
            if looks == 1:
                client.sendall(b"QUIT\r\n")
                # It ends once the lab's thread, and not this one, has the lock of who waits.
                return False
            return not lab.lab.is_running(1)

        assert lab.lab.wait_until(has_ended, PATIENCE)
        assert looks == 2


@pytest.mark.parametrize(
    ("said", "cut_off"),
    [
        (b"MAIL FROM:<>\r\nRCPT TO:<recipient@example.com>\r\nDATA\r\n" + b"x" * 60_000 + b"\r\n.\r\n", True),
        (b"MAIL FROM:<>\r\nRCPT TO:<recipient@example.com>\r\nBDAT 60000 LAST\r\n" + b"x" * 60_000, True),
        (b"NOOP " + b"x" * 10_000 + b"\r\n", True),
        (b"NOOP " + b"x" * 400 + b"\r\n", False),
    ],
    ids=["messages", "chunks", "long lines", "ordinary lines"],
)
def test_a_session_of_much_data_is_not_recorded_without_end(
    said: bytes, cut_off: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ehlo.lab.lab._MAX_OCTETS", 100_000)
    with (
        Lab(policy=Policy(extensions=("CHUNKING",))).running() as lab,
        socket.create_connection((lab.host, lab.port), timeout=30) as client,
    ):
        stream = client.makefile("rb")
        client.sendall(b"EHLO here.org\r\n")
        while stream.readline()[3:4] != b" " or len(lab.sessions[0].events) < 3:
            pass
        for _ in range(15):
            client.sendall(said)
            while not (line := stream.readline()).startswith((b"250 2.0.0 Ok", b"500")):
                assert line
        deadline = time.monotonic() + (30 if cut_off else 3 * _TICK)
        while not (found := _is_cut_off(lab)) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert found is cut_off


def _is_cut_off(lab: RunningLab) -> bool:
    return any(event.fact("message").startswith("this session is too long") for event in lab.sessions[0].events)


def test_a_session_without_end_is_not_recorded_without_end() -> None:
    with Lab().running() as lab, socket.create_connection((lab.host, lab.port), timeout=30) as client:
        stream = client.makefile("rb")
        stream.readline()
        rounds = 0
        while not _is_cut_off(lab):
            client.sendall(b"NOOP\r\n" * 5_000)
            for _ in range(5_000):
                assert stream.readline().startswith(b"250")
            rounds += 1
            assert rounds < 100
        events = len(lab.sessions[0].events)
        client.sendall(b"NOOP\r\nQUIT\r\n")
        assert stream.read().endswith(b"221 2.0.0 Bye\r\n")
        assert len(lab.sessions[0].events) == events
