"""The client engine against aiosmtplib and a pool of smtplib threads, delivering to smtp-sink."""

from __future__ import annotations

import asyncio
import gc
import smtplib
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor

import aiosmtplib
import uvloop

from bench.measure import Figure, interleaved
from ehlo.net.aio import Loop, run
from ehlo.probe.plan import Plan
from ehlo.probe.target import Target
from ehlo.probe.walk import client_session
from ehlo.smtp.address import parse_path
from peers.debian import PeerMissing
from peers.sink import smtp_sink

Work = Coroutine[object, object, None]

_AT_A_TIME = 50
_THREADS = 200
_SESSIONS = 4000
_SENDER, _RECIPIENT = "sender@yourdomain.com", "recipient@example.com"
_MESSAGE = b"Subject: benchmark\r\nFrom: sender@yourdomain.com\r\nTo: recipient@example.com\r\n\r\nHello!\r\n"
#: Connect, EHLO, MAIL, RCPT, DATA, the message, QUIT, close: fewer events mean a session that failed.
_EVENTS = 15


def figures(runs: int) -> Iterator[Figure]:
    """Sessions a second, one small message each; the whole transcript of each is kept until its end."""
    rows = (
        ("client-aiosmtplib", f"client engine, {_AT_A_TIME} sessions at a time", "aiosmtplib on uvloop", 8.0),
        ("client-smtplib", "the same", f"smtplib in {_THREADS} threads", 2.0),
        ("client-stdlib", "the same (no target)", "itself on the standard library's loop", 1.0),
    )
    # For all alike: thousands of live sessions are no reason to look for garbage all the time.
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    try:
        with smtp_sink(keep=False) as sink:
            port = sink.port
            medians = interleaved(
                runs,
                {
                    "ehlo": lambda: _rate(uvloop.run, lambda: _ehlo(port)),
                    "client-aiosmtplib": lambda: _rate(uvloop.run, lambda: _aiosmtplib(port)),
                    "client-smtplib": lambda: _smtplib(port),
                    "client-stdlib": lambda: _rate(asyncio.run, lambda: _ehlo(port)),
                },
            )
    except PeerMissing as missing:
        yield from (Figure(id_, what, peer, target, True, None, str(missing)) for id_, what, peer, target in rows)
        return
    for id_, what, peer, target in rows:
        yield Figure(id_, what, peer, target, True, medians["ehlo"] / medians[id_])


def _rate(runner: Callable[[Work], object], work: Callable[[], Work]) -> float:
    gc.collect()
    start = time.perf_counter()
    runner(work())
    return _SESSIONS / (time.perf_counter() - start)


async def _many(one: Callable[[], Awaitable[None]]) -> None:
    left = _SESSIONS

    async def worker() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            await one()

    await asyncio.gather(*(worker() for _ in range(_AT_A_TIME)))


async def _ehlo(port: int) -> None:
    shared = Loop()
    plan = Plan(
        Target("sink", "127.0.0.1", port),
        helo="bench.example.com",
        sender=parse_path(f"<{_SENDER}>"),
        recipients=(parse_path(f"<{_RECIPIENT}>"),),
        message=_MESSAGE,
        starttls="never",
        stop_after="message",
        pipelining=True,
    )

    async def one() -> None:
        session = client_session(plan)
        await run(session, shared)
        if len(session.recorder.events) < _EVENTS:
            raise RuntimeError(f"a session failed: {session.recorder.events[-2:]}")

    await _many(one)


async def _aiosmtplib(port: int) -> None:
    async def one() -> None:
        client = aiosmtplib.SMTP(hostname="127.0.0.1", port=port, start_tls=False, local_hostname="bench.example.com")
        await client.connect()
        await client.sendmail(_SENDER, [_RECIPIENT], _MESSAGE)
        await client.quit()

    await _many(one)


def _smtplib(port: int) -> float:
    def one(_: int) -> None:
        with smtplib.SMTP("127.0.0.1", port, local_hostname="bench.example.com") as client:
            client.sendmail(_SENDER, [_RECIPIENT], _MESSAGE)

    with ThreadPoolExecutor(_THREADS) as pool:
        start = time.perf_counter()
        list(pool.map(one, range(_SESSIONS)))
        return _SESSIONS / (time.perf_counter() - start)
