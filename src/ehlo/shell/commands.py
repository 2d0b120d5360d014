"""The colon commands. One function each, entered in `COMMANDS`; its docstring is its help: a line that says what it
does, and paragraphs for `:help NAME`. (`:auth` is in `login.py`.)"""

from __future__ import annotations

import base64
import binascii
import inspect
import os.path
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from ehlo.net.errors import SessionError
from ehlo.probe.escapes import EscapeError, unescape
from ehlo.probe.talk import Asking, NotDone, Talk
from ehlo.shell.hints import hint, misplaced
from ehlo.shell.login import auth
from ehlo.shell.shell import CommandFailed, Shell
from ehlo.smtp.content import to_crlf
from ehlo.smtp.reply import Reply
from ehlo.smtp.sasl import MECHANISMS
from ehlo.smtp.states import State
from ehlo.transcript.transcript import Transcript

#: Nobody waits for longer than a day.
_LONGEST_WAIT = 86400.0
#: The command that has led to these states, so that it need not be given any more.
_GIVEN = {State.CONTENT: "DATA", State.TLS: "STARTTLS"}


class ShellCommand(NamedTuple):
    """A colon command: what stands behind its name, and what it does.

    `talks`: to a server, so a session must be there. `says` is the command of SMTP that it gives.
    """

    name: str
    arguments: str
    run: Callable[[Shell, str], Awaitable[None]]
    talks: bool = False
    says: str = ""

    @property
    def summary(self) -> str:
        """What it does, in a line."""
        return self.paragraphs[0].rstrip(".")

    @property
    def paragraphs(self) -> list[str]:
        """All that is said of it."""
        return [" ".join(each.split()) for each in inspect.cleandoc(self.run.__doc__ or "").split("\n\n")]

    def hint(self, shell: Shell, arguments: str) -> str:
        """What is wrong with what it says here and now, as for a line that is typed; empty when nothing is, and
        where it will not say it."""
        talk, state = shell.conversation.talk, shell.state
        if not self.says or _GIVEN.get(state) == self.says or (self.arguments and not arguments):
            return ""
        encrypted = talk.tls is not None
        if self.says != "AUTH":
            return misplaced(self.says, state, talk.conn.capabilities, encrypted=encrypted)
        mechanism = MECHANISMS.get(arguments.split()[0].upper())
        if mechanism is None or (mechanism.in_clear and not encrypted and not shell.plan.auth_in_clear):
            return ""
        # Whoever allows a password in clear on the command line needs no warning of it.
        warned = encrypted or mechanism.in_clear
        return hint(f"AUTH {mechanism.keyword}", state, talk.conn.capabilities, encrypted=warned)


async def starttls(shell: Shell, _: str) -> None:
    """Encrypt the connection: STARTTLS and the handshake. EHLO is due afterwards.

    Where STARTTLS was typed already, the handshake alone. With --verify a certificate that does not verify ends
    the session.
    """

    def step(talk: Talk) -> Asking[bool]:
        if talk.conn.state is not State.TLS:
            yield from talk.say(b"STARTTLS\r\n")
        if talk.conn.state is not State.TLS:
            return False
        try:
            yield from talk.upgrade()
        except NotDone as error:
            # The connection is neither in clear any more nor to be trusted.
            raise SessionError(error.error, error.stage, error.message) from None
        return True

    async def deed() -> None:
        with shell.view.aloud():
            encrypted = await shell.do(step)
        if encrypted:
            shell.view.note("encrypted from here on; the session begins anew, with EHLO")

    await shell.done(deed)


async def send(shell: Shell, name: str) -> None:
    """Send a file as the message; DATA goes before it where it is still due.

    Line endings become CRLF, and a line that begins with a dot gets another one (RFC 5321 §4.5.2).
    """
    content = to_crlf(_read(name))

    def step(talk: Talk) -> Asking[list[Reply]]:
        if talk.conn.state is not State.CONTENT:
            reply = yield from talk.say(b"DATA\r\n")
            if reply.code != 354:
                return [reply]
        return (yield from talk.content(content))

    async def deed() -> None:
        with shell.view.aloud():
            await shell.do(step)

    shell.lines = []
    await shell.done(deed)


async def chunk(shell: Shell, arguments: str) -> None:
    r"""Send a piece of the message by BDAT: text with \r \n \xHH, or a file.

    :chunk TEXT, :chunk @FILE, :chunk last TEXT, :chunk last @FILE. With "last" the message ends with this piece;
    :chunk last alone ends it with an empty one.

    The octets go out as they are: no line ending is added, and no dot is doubled (RFC 3030 §2).
    """
    first, _, rest = arguments.partition(" ")
    last = first.lower() == "last"
    text = rest if last else arguments
    if not text and not last:
        raise CommandFailed(r"Which octets? For example: :chunk Subject: test\r\n")
    octets = _read(text[1:]) if text.startswith("@") else _octets(text)

    def step(talk: Talk) -> Asking[list[Reply]]:
        return talk.chunk(octets, last=last, anyway=True)

    async def deed() -> None:
        with shell.view.aloud():
            await shell.do(step)

    await shell.done(deed)


async def raw(shell: Shell, text: str) -> None:
    r"""Send just these octets, without a line ending of its own: \r \n \0 \xHH.

    For what a line cannot hold: half a command, several at once, a bare LF, a NUL. For example
    :raw RSET\r\nNOOP\r\n
    """
    octets = _octets(text)
    if not octets:
        raise CommandFailed(r"Which octets? For example: :raw NOOP\r\n")
    await shell.done(lambda: shell.send(octets))


async def wait(shell: Shell, text: str) -> None:
    """Wait until the server says something, or for so many seconds.

    Without a number, as long as for an answer (--timeout). Ctrl-C ends it.
    """
    try:
        seconds = float(text or shell.wait)
    except ValueError:
        seconds = -1.0
    if not seconds >= 0:
        raise CommandFailed(f"'{text}' is no number of seconds.")
    if not await shell.pause(min(seconds, _LONGEST_WAIT)):
        shell.view.note("the server has said nothing")


async def b64(shell: Shell, text: str) -> None:
    r"""Show octets in base64: text with \0 and \xHH, as AUTH PLAIN needs them.

    For AUTH PLAIN: :b64 \0user\0password. For AUTH LOGIN: the user and the password by themselves.
    """
    shell.view.literal(base64.b64encode(_octets(text)).decode("ascii"))


async def unb64(shell: Shell, text: str) -> None:
    """Show what is behind base64, for example a challenge.

    A 334 before it does not disturb, so a line of the server can be pasted whole.
    """
    try:
        octets = base64.b64decode(text.removeprefix("334 ").strip(), validate=True)
    except (binascii.Error, ValueError):
        raise CommandFailed("That is not base64.") from None
    shell.view.literal(octets.decode("utf-8", "surrogateescape") or "(nothing)")


async def tls(shell: Shell, _: str) -> None:
    """Show how the connection is encrypted, and the server's certificates."""
    facts = shell.conversation.talk.tls
    if facts is None:
        shell.view.text("The connection is not encrypted.")
        return
    from ehlo.report.encryption import tls_details, version_name

    rows = [("version", f"{version_name(facts.version)}, {facts.bits} bits")]
    rows += [(detail.label, ", ".join(detail.parts)) for detail in tls_details(facts.to_json())]
    if certificate := facts.certificate:
        rows.append(("verified", "no" if certificate.problem else "yes"))
    shell.view.table(rows)


async def explain(shell: Shell, text: str) -> None:
    """Explain the last reply at length, or the one given.

    For example :explain 550 5.7.1 Relaying denied
    """
    from ehlo.diagnosis.judge import explain_answer
    from ehlo.smtp.deviations import RemoteProtocolError
    from ehlo.smtp.reply import ReplyReader

    reply, stage = shell.last_reply, shell.last_stage if not text else None
    if text:
        # The first line of several is pasted more often than the last.
        line = f"{text[:3]} {text[4:]}" if text[3:4] == "-" else text
        try:
            reply = ReplyReader().feed(line.encode("utf-8", "surrogateescape") + b"\r\n")
        except RemoteProtocolError:
            reply = None
        if reply is None:
            raise CommandFailed(f"'{text}' is no reply: it begins with a code of three digits.")
    if reply is None:
        raise CommandFailed("The server has said nothing yet.")
    for line in explain_answer(reply, stage):
        before, is_advice, advice = line.partition("try: ")
        if is_advice and not before:
            shell.view.table([("try:", advice)], gap=1)
        else:
            shell.view.text(line)


async def again(shell: Shell, _: str) -> None:
    """Connect anew, and do again all that was done in this session.

    Lines, messages, STARTTLS and logins go out once more, up to the first that fails in another way than by a
    reply. A session that is still there is cut first.
    """
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
    """Cut the connection, without QUIT.

    The shell stays: :again, :verdict and :save go on working.
    """
    await shell.cut()


async def leave(shell: Shell, _: str) -> None:
    """End the session with QUIT and leave; so does Ctrl-D."""
    await shell.close()
    shell.left = True


async def help_(shell: Shell, name: str) -> None:
    """List these commands, or explain one; so it does with a command of SMTP."""
    from ehlo.knowledge.language import meaning_of_command

    command = COMMANDS.get(name.lstrip(":").lower())
    if command is not None:
        shell.view.text("\n".join([f":{command.name} {command.arguments}".rstrip(), *command.paragraphs]))
    elif meaning := meaning_of_command(name):
        shell.view.text(f"{name.upper()} {meaning}. It is typed as it is, without a colon.")
    elif name:
        raise CommandFailed(f"There is no command {name}; :help lists them.")
    else:
        shell.view.text("What has no colon goes to the server as it is typed.")
        shell.view.table((f":{known.name} {known.arguments}".rstrip(), known.summary) for known in COMMANDS.values())


COMMANDS = {
    command.name: command
    for command in (
        ShellCommand("starttls", "", starttls, talks=True, says="STARTTLS"),
        ShellCommand("auth", "[MECHANISM [USER]]", auth, talks=True, says="AUTH"),
        ShellCommand("send", "FILE", send, talks=True, says="DATA"),
        ShellCommand("chunk", "[last] TEXT|@FILE", chunk, talks=True, says="BDAT"),
        ShellCommand("raw", "OCTETS", raw, talks=True),
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


def _write(name: str, transcript: Transcript) -> None:
    from ehlo.transcript.jsonl import write

    with open(os.path.expanduser(name), "w", encoding="ascii") as stream:
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
        with open(os.path.expanduser(name), "rb") as stream:
            return stream.read()
    except OSError as error:
        raise CommandFailed(f"'{name}' cannot be read: {error.strerror}.") from None
