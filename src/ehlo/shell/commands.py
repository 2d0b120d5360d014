"""The colon commands. One function each, entered in `COMMANDS`; its docstring is its help."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from ehlo.probe.escapes import EscapeError, unescape
from ehlo.probe.talk import Asking, Talk
from ehlo.shell.shell import CommandFailed, Shell
from ehlo.smtp.content import to_crlf
from ehlo.smtp.reply import Reply
from ehlo.smtp.sasl import Credentials
from ehlo.smtp.states import State
from ehlo.transcript.transcript import Transcript


class ShellCommand(NamedTuple):
    """A colon command: what stands behind its name, and what it does."""

    name: str
    arguments: str
    run: Callable[[Shell, str], Awaitable[None]]

    @property
    def summary(self) -> str:
        """What it does, in a line."""
        return (self.run.__doc__ or "").split("\n")[0].rstrip(".")


async def starttls(shell: Shell, _: str) -> None:
    """Encrypt the connection: STARTTLS and the handshake. EHLO is due afterwards."""

    def step(talk: Talk) -> Asking[None]:
        if talk.conn.state is State.TLS:
            yield from talk.handshake("starttls")
            talk.conn.tls_started()
        else:
            yield from talk.starttls()

    async def deed() -> None:
        with _echo(shell):
            await shell.do(step)
        if shell.conversation.talk.tls is not None:
            shell.view.note("encrypted from here on; the session begins anew, with EHLO")

    await shell.done(deed)


async def auth(shell: Shell, arguments: str) -> None:
    """Log in, with the strongest mechanism offered or the one named; asks for user and password.

    :auth, :auth MECHANISM, :auth MECHANISM USER
    """
    from ehlo.smtp.sasl import MechanismError, mechanism_named

    name, _, user = arguments.partition(" ")
    try:
        kind = mechanism_named(name.upper()).secret if name else "password"
    except MechanismError as error:
        raise CommandFailed(str(error)) from None
    credentials = shell.plan.credentials or Credentials()
    user = user.strip() or credentials.user
    if kind != "none":
        user = user or await shell.questions.ask("user")
        known = credentials.password if user == credentials.user else ""
        password = known or await shell.questions.ask("token" if kind == "token" else "password", secret=True)
        if not user or not password:
            raise CommandFailed("Without a user and a password there is no login.")
        credentials = credentials._replace(user=user, password=password)
    names = (name.upper(),) if name else shell.plan.mechanisms

    async def deed() -> None:
        with _echo(shell):
            await shell.do(lambda talk: talk.login(credentials, names))

    await shell.done(deed)


async def send(shell: Shell, name: str) -> None:
    """Send a file as the message; DATA goes before it where it is still due."""
    content = to_crlf(_read(name))

    def step(talk: Talk) -> Asking[list[Reply]]:
        if talk.conn.state is not State.CONTENT:
            reply = yield from talk.data()
            if reply.code != 354:
                return [reply]
        return (yield from talk.content(content))

    async def deed() -> None:
        with _echo(shell):
            await shell.do(step)

    shell.lines = []
    await shell.done(deed)


async def chunk(shell: Shell, arguments: str) -> None:
    r"""Send a piece of the message by BDAT: text with \r \n \xHH, or a file.

    :chunk TEXT, :chunk @FILE, :chunk last TEXT, :chunk last @FILE
    """
    first, _, rest = arguments.partition(" ")
    last = first.lower() == "last"
    text = rest if last else arguments
    octets = _read(text[1:]) if text.startswith("@") else _octets(text)

    def step(talk: Talk) -> Asking[list[Reply]]:
        return talk.chunk(octets, last=last)

    async def deed() -> None:
        with _echo(shell):
            await shell.do(step)

    await shell.done(deed)


async def raw(shell: Shell, text: str) -> None:
    r"""Send just these octets, without a line ending of its own: \r \n \0 \xHH."""
    octets = _octets(text)
    if not octets:
        raise CommandFailed(r"Which octets? For example: :raw NOOP\r\n")
    await shell.done(lambda: shell.send(octets))


async def wait(shell: Shell, text: str) -> None:
    """Wait until the server says something, or for so many seconds."""
    try:
        seconds = float(text or shell.wait)
    except ValueError:
        raise CommandFailed(f"'{text}' is no number of seconds.") from None
    await shell.pause(max(0.0, min(seconds, 86400.0)))


async def b64(shell: Shell, text: str) -> None:
    r"""Show octets in base64: text with \0 and \xHH, as AUTH PLAIN needs them."""
    shell.view.text(base64.b64encode(_octets(text)).decode("ascii"))


async def unb64(shell: Shell, text: str) -> None:
    """Show what is behind base64, for example a challenge."""
    try:
        octets = base64.b64decode(text.removeprefix("334 ").strip(), validate=True)
    except (binascii.Error, ValueError):
        raise CommandFailed(f"'{text}' is not base64.") from None
    shell.view.text(octets.decode("utf-8", "surrogateescape") or "(nothing)")


async def tls(shell: Shell, _: str) -> None:
    """Show how the connection is encrypted, and the server's certificates."""
    facts = shell.conversation.talk.tls
    if facts is None:
        raise CommandFailed("The connection is not encrypted.")
    from ehlo.report.encryption import tls_details, version_name

    lines = [f"version   {version_name(facts.version)}, {facts.bits} bits"]
    lines += [f"{detail.label:<9} {', '.join(detail.parts)}" for detail in tls_details(facts.to_json())]
    if certificate := facts.certificate:
        lines.append(f"verified  {'no' if certificate.problem else 'yes'}")
    shell.view.text("\n".join(lines))


async def explain(shell: Shell, text: str) -> None:
    """Explain the last reply at length, or the one given."""
    from ehlo.diagnosis.judge import explain_answer
    from ehlo.smtp.deviations import RemoteProtocolError
    from ehlo.smtp.reply import ReplyReader

    reply, stage = shell.last_reply, shell.last_stage if not text else None
    if text:
        try:
            reply = ReplyReader().feed(text.encode("utf-8", "surrogateescape") + b"\r\n")
        except RemoteProtocolError:
            reply = None
        if reply is None:
            raise CommandFailed(f"'{text}' is no reply: it begins with a code of three digits.")
    if reply is None:
        raise CommandFailed("The server has said nothing yet.")
    shell.view.text("\n".join(explain_answer(reply, stage)))


async def again(shell: Shell, _: str) -> None:
    """Connect anew, and do again all that was done in this session."""
    await shell.again()


async def save(shell: Shell, name: str) -> None:
    """Write the transcript to a file, without passwords, for ehlo show."""
    if not name:
        raise CommandFailed("To which file? For example: :save session.jsonl")
    from ehlo.transcript.redaction import redact

    transcript = shell.transcript if shell.view.show_secrets else redact(shell.transcript)
    try:
        _write(name, transcript)
    except OSError as error:
        raise CommandFailed(f"'{name}' cannot be written: {error.strerror}.") from None
    shell.view.note(f"{len(transcript.events)} events written to {name}")


async def verdict(shell: Shell, _: str) -> None:
    """Say what is wrong in this session, as far as rules know it."""
    shell.view.verdict(shell.transcript, shell.verdict())


async def close(shell: Shell, _: str) -> None:
    """Cut the connection, without QUIT."""
    await shell.close(politely=False)


async def leave(shell: Shell, _: str) -> None:
    """End the session with QUIT and leave; so does Ctrl-D."""
    await shell.close()
    shell.left = True


async def help_(shell: Shell, name: str) -> None:
    """List these commands, or explain one."""
    command = COMMANDS.get(name.lstrip(":").lower())
    if command is not None:
        text = "\n".join(line.strip() for line in (command.run.__doc__ or "").strip().splitlines())
        shell.view.text(f":{command.name} {command.arguments}".rstrip() + "\n" + text)
        return
    width = max(len(f":{known.name} {known.arguments}") for known in COMMANDS.values())
    rows = [f"{f':{known.name} {known.arguments}':<{width}}  {known.summary}" for known in COMMANDS.values()]
    shell.view.text("\n".join(["What has no colon goes to the server as it is typed.", *rows]))


COMMANDS = {
    command.name: command
    for command in (
        ShellCommand("starttls", "", starttls),
        ShellCommand("auth", "[MECHANISM [USER]]", auth),
        ShellCommand("send", "FILE", send),
        ShellCommand("chunk", "[last] TEXT|@FILE", chunk),
        ShellCommand("raw", "OCTETS", raw),
        ShellCommand("wait", "[SECONDS]", wait),
        ShellCommand("b64", "OCTETS", b64),
        ShellCommand("unb64", "TEXT", unb64),
        ShellCommand("tls", "", tls),
        ShellCommand("explain", "[REPLY]", explain),
        ShellCommand("verdict", "", verdict),
        ShellCommand("again", "", again),
        ShellCommand("save", "FILE", save),
        ShellCommand("close", "", close),
        ShellCommand("quit", "", leave),
        ShellCommand("help", "[COMMAND]", help_),
    )
}


class _echo:  # noqa: N801 - used like a function
    """What a command says to the server is shown, since nobody typed it."""

    def __init__(self, shell: Shell) -> None:
        self._view = shell.view

    def __enter__(self) -> None:
        self._before, self._view.echo = self._view.echo, True

    def __exit__(self, *_: object) -> None:
        self._view.echo = self._before


def _write(name: str, transcript: Transcript) -> None:
    from ehlo.transcript.jsonl import write

    with open(name, "w", encoding="ascii") as stream:
        write(transcript, stream)


def _octets(text: str) -> bytes:
    try:
        return unescape(text)
    except EscapeError as error:
        raise CommandFailed(str(error)) from None


def _read(name: str) -> bytes:
    if not name:
        raise CommandFailed("Which file?")
    try:
        with open(name, "rb") as stream:
            return stream.read()
    except OSError as error:
        raise CommandFailed(f"'{name}' cannot be read: {error.strerror}.") from None
