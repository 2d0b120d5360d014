"""`ehlo lab`."""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import shlex
import signal
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ehlo.cli.commands import UsageError
from ehlo.cli.lab_options import (
    adapted,
    check_options,
    identity_from,
    scenario_from,
    store_from,
    write_certificates,
)
from ehlo.cli.options import add_colour_option
from ehlo.lab.lab import Door, DoorError, Lab, Watcher, reason_of
from ehlo.lab.persona import persona_names
from ehlo.lab.policy import Limits
from ehlo.lab.scenario import ScenarioError, load_scenario, scenario_names
from ehlo.lab.store import Keep, Store
from ehlo.net.intents import endpoint
from ehlo.report.style import Style, style_of, terminal_columns
from ehlo.report.text import pad, safe
from ehlo.transcript.event import Event
from ehlo.transcript.redaction import Redactor

if TYPE_CHECKING:
    from ehlo.web.serving import WebServer

EPILOG = """\
examples:
  ehlo lab                                             port 2525, the page at http://127.0.0.1:8025
  ehlo lab --scenario greylisted                       450 at first, 250 at the second attempt
  ehlo lab --list                                      all scenarios
  ehlo lab --persona exchange --mailbox alice@example.com --user alice:wonderland
  ehlo lab --store mail.db --durable                   what was taken is still there after a crash
  ehlo lab --exec "pytest -q"                          run a command with the lab's address in its environment

The server listens on this machine alone, and delivers and relays nothing. Ctrl-C ends it.
"""

DEFAULT_PORT = 2525
DEFAULT_WEB_PORT = 8025
#: A server that keeps thousands of transcripts must not walk through all of them again and again.
_GC_THRESHOLD = 50_000
_OPTIONS: dict[Door, str] = {
    "smtp": "--port",
    "smtps": "--tls-port",
    "lmtp": "--lmtp-port",
    "proxy": "--proxy-port",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    behaviour = parser.add_argument_group("how it behaves")
    behaviour.add_argument("--scenario", metavar="NAME|FILE", help="behave as this scenario says; --list shows them")
    behaviour.add_argument("--list", action="store_true", help="list the scenarios, and end")
    behaviour.add_argument("--json", action="store_true", help="with --list: as JSON")
    behaviour.add_argument("--persona", choices=persona_names(), help="how it talks (default: postfix)")
    behaviour.add_argument("--host", metavar="NAME", help="what it calls itself (default: the persona's name)")
    behaviour.add_argument("--seed", type=int, metavar="N", help="the dice of faults by chance fall alike for alike N")
    policy = parser.add_argument_group("what it takes")
    policy.add_argument("--mailbox", metavar="ADDRESS", action="append", default=[], help="a mailbox; may be repeated")
    policy.add_argument("--any-recipient", action="store_true", help="accept every recipient")
    policy.add_argument(
        "--refuse-sender", metavar="ADDRESS", action="append", default=[], help="refuse this sender; may be repeated"
    )
    policy.add_argument("--max-size", type=int, metavar="OCTETS", help="the largest message")
    policy.add_argument("--max-sessions", type=int, metavar="N", help=f"sessions at once (default {Limits().sessions})")
    policy.add_argument("--idle", type=float, metavar="SECONDS", help="how long it waits for a command (default 300)")
    login = parser.add_argument_group("logging in and TLS")
    login.add_argument(
        "--user", metavar="NAME:PASSWORD", action="append", default=[], help="offer AUTH to this user; may be repeated"
    )
    login.add_argument("--any-login", action="store_true", help="offer AUTH, and take every name and password")
    login.add_argument(
        "--mechanism", metavar="NAME", action="append", default=[], help="offer this one (default: PLAIN and LOGIN)"
    )
    login.add_argument("--auth-in-clear", action="store_true", help="offer AUTH without TLS, too")
    login.add_argument("--cert", metavar="FILE", help="certificate chain in PEM form (default: one made on the spot)")
    login.add_argument("--key", metavar="FILE", help="its private key in PEM form")
    login.add_argument("--ca-out", metavar="FILE", help="write the certificate of the lab's authority to this file")
    login.add_argument(
        "--client-cert-out", metavar="FILE", help="write a certificate and key for the first --user, for AUTH EXTERNAL"
    )
    ports = parser.add_argument_group("where it listens")
    ports.add_argument("--listen", metavar="ADDRESS", default="127.0.0.1", help="(default 127.0.0.1)")
    ports.add_argument("--port", type=int, help=f"0: any that is free (default {DEFAULT_PORT})")
    ports.add_argument("--tls-port", dest="smtps", type=int, metavar="PORT", help="a port with TLS from the start")
    ports.add_argument("--lmtp-port", dest="lmtp", type=int, metavar="PORT", help="a port for LMTP")
    ports.add_argument(
        "--proxy-port", dest="proxy", type=int, metavar="PORT", help="a port behind a proxy (PROXY v1, v2)"
    )
    ports.add_argument(
        "--http", metavar="PORT|off", help=f"the page and the API (default {DEFAULT_WEB_PORT}, or any that is free)"
    )
    ports.add_argument(
        "--http-name", metavar="NAME", action="append", default=[], help="a host name that browsers may call it by"
    )
    capture = parser.add_argument_group("what it keeps")
    capture.add_argument("--store", metavar="FILE", help="keep messages and sessions in this file (default: in memory)")
    capture.add_argument("--no-capture", action="store_true", help="keep nothing")
    capture.add_argument("--durable", action="store_true", help="with --store: on the disk before the client hears 250")
    capture.add_argument("--keep", type=int, metavar="N", help=f"messages to keep (default {Keep().messages})")
    capture.add_argument("--keep-size", type=int, metavar="MB", help=f"their size (default {Keep().octets // 10**6})")
    capture.add_argument("--keep-hours", type=float, metavar="HOURS", help="their age (default: any)")
    capture.add_argument("--tag", metavar="TAG=QUERY", action="append", default=[], help="tag what a search finds")
    capture.add_argument("--export", metavar="FILE|FOLDER/", help="in the end, write an mbox file or a Maildir folder")
    capture.add_argument("--release", metavar="TARGET", help="where the page may send messages on to")
    parser.add_argument("--exec", metavar="COMMAND", help="run a command against the lab, and end with it")
    parser.add_argument("-q", "--quiet", action="store_true", help="do not show the sessions")
    add_colour_option(parser)


def run(args: argparse.Namespace) -> int:
    """Run the lab until it is stopped; gives the exit status, with --exec the command's."""
    style = style_of(sys.stdout, args.color)
    if args.list:
        _list(style, as_json=args.json)
        return 0
    check_options(args)
    scenario = scenario_from(args)
    identity = identity_from(args)
    store = store_from(args)
    lab = Lab(
        scenario=scenario,
        identity=identity,
        store=store,
        watchers=[] if args.quiet or args.exec else [SessionLog(style)],
        adapt=partial(adapted, args),
    )
    write_certificates(args, lab)
    gc.enable()
    gc.freeze()
    gc.set_threshold(_GC_THRESHOLD, 20, 100)
    lost = 0
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            status = runner.run(_serve(lab, args, style))
    except UsageError:
        # It did not run: what is there of an earlier run stays.
        args.export = None
        raise
    finally:
        if store is not None:
            if args.export:
                _export(store, args.export)
            if lost := store.close():
                lost_are = "1 message is" if lost == 1 else f"{lost} messages are"
                print(f"ehlo lab: {lost_are} lost: {safe(store.path)} could not be written.", file=sys.stderr)
    return status or int(lost > 0)


async def _serve(lab: Lab, args: argparse.Namespace, style: Style) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    port = _port(args.port, "--port", 0 if args.exec else DEFAULT_PORT)
    doors: dict[Door, int] = {}
    for door, option in _OPTIONS.items():
        if door != "smtp" and (wanted := getattr(args, door)) is not None:
            doors[door] = _port(wanted, option, 0)
    web = _web(lab, args)
    try:
        await lab.start(args.listen, port, doors)
    except DoorError as error:
        where = f"--listen {args.listen}" if error.at_host else f"{_OPTIONS[error.door]} {error.port}"
        raise UsageError(f"{where}: the lab cannot listen there: {error.why}.") from None
    except ScenarioError as error:
        raise UsageError(str(error)) from None
    if web is not None:
        await _start_web(lab, web, args)
    try:
        if args.exec:
            return await _execute(args.exec, lab, web, stop)
        _introduce(lab, web, style)
        await stop.wait()
    finally:
        await lab.stop()
    print(f"\n{_counted(lab.message_count, 'message')}, {_counted(lab.session_count, 'session')}.")
    return 0


def _introduce(lab: Lab, web: WebServer | None, style: Style) -> None:
    smtp = lab.ports["smtp"]
    target = endpoint(lab.reached_at, smtp)
    print(f"{safe(lab.persona.host)} ({lab.persona.name}) listens on {style.bold(endpoint(lab.host, smtp))}")
    names = {"smtps": "with TLS from the start", "lmtp": "LMTP", "proxy": "behind a proxy"}
    for door, port in lab.ports.items():
        if door in names:
            print(f"{names[door]}: {style.bold(endpoint(lab.host, port))}")
    if web is not None:
        print(f"the page: {style.bold(f'http://{endpoint(lab.reached_at, web.port)}')}")
    if lab.scenario is not None and lab.scenario.name:
        print(safe(f"scenario {lab.scenario.name}: {lab.scenario.title}"))
    mailboxes = "every address" if lab.policy.any_recipient else ", ".join(sorted(lab.policy.mailboxes)) or "none"
    print(style.dim(safe(f"mailboxes: {mailboxes}")))
    recipient = min(lab.policy.mailboxes, default="recipient@example.com")
    print(style.dim(safe(f"try:  ehlo check {target} -f sender@yourdomain.com -t {recipient}")))
    sys.stdout.flush()


def _counted(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def _port(value: int | None, option: str, default: int) -> int:
    port = default if value is None else value
    if not 0 <= port <= 65535:
        raise UsageError(f"{option} {port}: a port is a number from 0 to 65535.")
    return port


def _web(lab: Lab, args: argparse.Namespace) -> WebServer | None:
    if args.http == "off":
        return None
    if args.http is not None and not args.http.isdecimal():
        raise UsageError(f"--http {args.http}: a port, or off.")
    from ehlo.web.serving import WebServer

    default = 0 if args.exec else DEFAULT_WEB_PORT
    port = _port(None if args.http is None else int(args.http), "--http", default)
    return WebServer(lab, port, release=args.release or "", names=frozenset(name.lower() for name in args.http_name))


async def _start_web(lab: Lab, web: WebServer, args: argparse.Namespace) -> None:
    try:
        await web.start(args.listen)
    except OSError as error:
        if args.http is not None:
            await lab.stop()
            raise UsageError(f"--http {web.port}: the page cannot listen there: {reason_of(error)}.") from None
        # Nobody asked for this port: a second lab gets another one.
        web.port = 0
        await web.start(args.listen)
    lab.companions.append(web)


async def _execute(command: str, lab: Lab, web: WebServer | None, stop: asyncio.Event) -> int:
    """Run a command with the lab's address in its environment; gives its exit status."""
    with tempfile.TemporaryDirectory(prefix="ehlo-lab-") as folder:
        authority = Path(folder, "ca.pem")
        authority.write_bytes(lab.identity.authority)  # noqa: ASYNC240 - it is small, and nothing runs yet
        page = f"http://{endpoint(lab.reached_at, web.port)}" if web else ""
        environment = {**os.environ, **lab.environment(authority, page)}
        try:
            process = await asyncio.create_subprocess_exec(*shlex.split(command), env=environment)
        except FileNotFoundError:
            why = "there is no such program. No shell reads it; for what a shell does: --exec \"sh -c '…'\""
            raise UsageError(f"--exec {command}: it cannot be run: {why}.") from None
        except (OSError, ValueError) as error:
            raise UsageError(
                f"--exec {command}: it cannot be run: {getattr(error, 'strerror', '') or error}."
            ) from None
        stopping = asyncio.create_task(stop.wait())
        ending = asyncio.create_task(process.wait())
        await asyncio.wait({stopping, ending}, return_when=asyncio.FIRST_COMPLETED)
        if not ending.done():
            process.terminate()
        status = await ending
        stopping.cancel()
        # As a shell says it of a command that a signal ended.
        return status if status >= 0 else 128 - status


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop where it is installed: it serves one and a half times as many sessions."""
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def _list(style: Style, *, as_json: bool) -> None:
    """The scenarios, one a line."""
    known = [load_scenario(name) for name in scenario_names()]
    if as_json:
        rows: list[dict[str, Any]] = [
            {"name": it.name, "title": it.title, "description": it.description, "rule": it.rule, "persona": it.persona}
            for it in known
        ]
        print(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    width = max(len(scenario.name) for scenario in known)
    columns = terminal_columns(sys.stdout)
    for scenario in known:
        print(f"{style.bold(pad(scenario.name, width))}  {style.fit(scenario.title, max(20, columns - width - 2))}")
    print(style.dim(f"\n{len(known)} scenarios; docs/scenarios.md describes them, and how to write one."))


class SessionLog(Watcher):
    """Shows the conversations of a lab, line by line, each with its session's number."""

    def __init__(self, style: Style) -> None:
        self._style = style
        self._redactors: dict[int, Redactor] = {}
        self._unheard = False

    def happened(self, number: int, event: Event) -> None:
        """Show an event."""
        event = self._redactors.setdefault(number, Redactor()).redact(event)
        text = self._text(event)
        if event.kind == "close":
            del self._redactors[number]
        if text and not self._unheard:
            try:
                print(f"{self._style.dim(f'#{number:<4}')} {text}")
                sys.stdout.flush()
            except BrokenPipeError:
                # Nobody reads any more; the sessions have no fault in that.
                self._unheard = True

    def _text(self, event: Event) -> str:
        style = self._style
        if event.kind == "line":
            arrow = "C:" if event.who == "client" else "S:"
            text = style.plain(safe(event.text))
            user = f"  user {safe(event.fact('user'))}" if event.fact("user") else ""
            return f"{arrow} {style.paint(text, '36') if event.who == 'client' else text}{style.dim(style.plain(user))}"
        if event.kind == "data":
            octets = len(event.data or b"")
            return "C: " + style.dim(f"({octets} octets of message)")
        if event.kind == "tls":
            what = event.fact("message") or f"{event.fact('version')} {event.fact('cipher')}"
            return style.dim(f"-- TLS: {safe(what)}")
        if event.kind in ("error", "note"):
            return style.warn(f"-- {safe(event.fact('message'))}")
        return style.dim("-- closed") if event.kind == "close" else ""


def _export(store: Store, target: str) -> None:
    from ehlo.lab.export import to_maildir, to_mbox

    try:
        count = to_maildir(store, Path(target)) if target.endswith("/") else to_mbox(store, Path(target))
    except OSError as error:
        raise UsageError(f"--export {target}: it cannot be written: {error.strerror or error}.") from None
    print(f"{_counted(count, 'message')} written to {target}.", file=sys.stderr)
