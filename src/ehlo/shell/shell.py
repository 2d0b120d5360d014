"""The shell itself: one line goes in, something is done, what came of it is shown.

What is typed without a colon goes to the server exactly as it is typed. Everything the shell does with the
network is an instruction to a `Conversation`; nothing here touches a socket or a terminal.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable
from math import inf
from typing import TYPE_CHECKING, NoReturn, Protocol

from ehlo.diagnosis.verdict import EXIT_STATUS, Verdict
from ehlo.net import aio
from ehlo.net.errors import SessionError
from ehlo.net.names import Nameserver
from ehlo.probe.conversation import Conversation, Failure, Instruction, utter
from ehlo.probe.plan import Plan
from ehlo.probe.talk import Asking, T, Talk
from ehlo.shell.completion import Completion, complete
from ehlo.shell.hints import hint
from ehlo.shell.view import View
from ehlo.smtp.command import CommandError, parse_command
from ehlo.smtp.deviations import LocalProtocolError, RemoteProtocolError
from ehlo.smtp.reply import Reply, ReplyReader
from ehlo.smtp.stages import Stage
from ehlo.smtp.states import ALLOWED, State
from ehlo.transcript.event import Event
from ehlo.transcript.transcript import Transcript

if TYPE_CHECKING:
    from ehlo.shell.commands import ShellCommand


_EXIT_USAGE = 2


class CommandFailed(Exception):  # noqa: N818 - it says what failed, for whoever typed it
    """A line that could not be carried out. The message is one sentence.

    `status` is the exit status that says so: that of a stage when it is the session that failed, else that of
    wrong usage. `error` is the id of what happened in the session, if it has one; `shown`: it is on the screen
    already.
    """

    def __init__(self, why: str, status: int = _EXIT_USAGE, *, error: str = "", shown: bool = False) -> None:
        super().__init__(why)
        self.status = status
        self.error = error
        self.shown = shown


class Questions(Protocol):
    """How the shell asks for what it cannot know."""

    async def ask(self, what: str, *, secret: bool = False) -> str:
        """The answer, which may be empty. Raises `CommandFailed` when none is given."""


_OVER = "The session is over; :again begins another like it, :quit leaves."

#: Something that was done, and can be done again in another session.
Deed = Callable[[], Awaitable[None]]


class Shell:
    """One shell, and the session it is in.

    `last_reply` is what the server said last, with the stage it was said at; `answer` the same, but None while
    it has not answered what was said to it last. `lines` collects a message that is being typed. `left`: the
    user wants to go. `on_open` is called with the transcript of each session that begins, `on_event` after each
    event, `on_over` when a session has ended.
    """

    def __init__(
        self, plan: Plan, view: View, questions: Questions, *, nameserver: Nameserver | None = None, wait: float = 300.0
    ) -> None:
        self.plan = plan
        self.view = view
        self.questions = questions
        self.wait = wait
        self.addresses: dict[str, None] = dict.fromkeys(path.address for path in (plan.sender, *plan.recipients))
        self.lines: list[str] = []
        self.last_reply: Reply | None = None
        self.answer: Reply | None = None
        self.last_stage: Stage = "banner"
        self.left = False
        self.on_over: Callable[[], None] | None = None
        self.on_open: Callable[[Transcript], None] | None = None
        self.on_event: Callable[[], None] | None = None
        self._nameserver = nameserver
        self._deeds: list[Deed] = []
        self._heard = asyncio.Event()
        self._interrupted = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.addresses.pop("", None)

    # The session.

    async def open(self) -> bool:
        """Connect and take the greeting; whether there is a session now."""
        self.view.begin()
        self._replies = ReplyReader()
        self.lines = []
        self.answer = None
        self.conversation = Conversation(self.plan, self._event)
        if self.on_open is not None:
            self.on_open(self.transcript)
        opened = Instruction(_nothing, self._heard.set)
        self.conversation.instruct(opened)
        self._task = asyncio.create_task(self._run(self.conversation))
        # Each step has a time of its own.
        heard = await self._until(lambda: opened.done or self.over, inf)
        if not heard and not self.conversation.session.connected:
            await self.abandon("interrupted from the keyboard")
        return not self.over

    async def _run(self, conversation: Conversation) -> None:
        try:
            await aio.run(conversation.session, aio.Loop(), self._nameserver)
        finally:
            self._heard.set()
            if self.on_over is not None and conversation is self.conversation:
                self.on_over()

    def _event(self, event: Event) -> None:
        if self.on_event is not None:
            self.on_event()
        self.view.event(event)
        if event.kind == "line" and event.who == "server" and event.data is not None:
            try:
                reply = self._replies.feed(event.data)
            except RemoteProtocolError:
                reply = None  # It ends the session, which says so itself.
            if reply is not None:
                self.answer = self.last_reply = reply
                self.last_stage = event.stage
        self._heard.set()

    @property
    def over(self) -> bool:
        """Whether the session has ended."""
        return self.conversation.over

    @property
    def state(self) -> State:
        """Where the session stands."""
        return self.conversation.talk.conn.state

    @property
    def transcript(self) -> Transcript:
        """The record of the session, with its secrets."""
        return self.conversation.recorder.transcript

    def verdict(self) -> Verdict:
        """What rules say of the session so far."""
        from ehlo.diagnosis.judge import judge
        from ehlo.transcript.redaction import redact

        return judge(redact(self.transcript))

    async def close(self, note: str = "closed by the user") -> None:
        """End the session: with QUIT where that may be said, else by closing the connection, of which the
        transcript then has a note."""
        if not self.over and "QUIT" in ALLOWED[self.state] and not self.conversation.talk.conn.awaiting:
            with contextlib.suppress(CommandFailed):
                await self.send(b"QUIT\r\n")
        if not self.over:
            self.conversation.session.abandon(note)
        await self._end()

    async def cut(self) -> None:
        """Close the connection without a word, on purpose."""
        if self.conversation.session.listening:
            self.conversation.instruct(Instruction(_drop))
        elif not self.over:
            self.conversation.session.abandon("closed by the user")
        await self._end()

    async def _end(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def abandon(self, note: str) -> None:
        """The program was told to stop at once: record why, and cut the connection."""
        if self._task is not None and not self.over:
            self.conversation.session.abandon(note)
            await self._end()

    # Waiting.

    def interrupt(self) -> None:
        """Stop waiting (Ctrl-C); the session goes on."""
        self._interrupted.set()

    async def _until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Wait for a condition that events bring about; False when time or patience ran out."""
        self._interrupted.clear()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while not condition():
            self._heard.clear()
            waits = [asyncio.ensure_future(self._heard.wait()), asyncio.ensure_future(self._interrupted.wait())]
            await asyncio.wait(waits, timeout=max(0.0, deadline - loop.time()), return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()
            if condition():
                break
            if self._interrupted.is_set() or loop.time() >= deadline:
                return False
        return True

    async def pause(self, seconds: float) -> bool:
        """Wait for whatever the server says, or for a time; whether anything came."""
        count = len(self.transcript.events)
        return await self._until(lambda: self.over or len(self.transcript.events) > count, seconds)

    async def do(self, step: Callable[[Talk], Asking[T]]) -> T:
        """Carry out a step and give its result. Raises `CommandFailed` when it could not be done."""
        begun = len(self.transcript.events)
        self.answer = None
        instruction = Instruction(step, self._heard.set)
        self.conversation.instruct(instruction)
        if not await self._until(lambda: instruction.done, self.wait):
            self._unanswered()
        failure: Failure | None = instruction.failure
        if failure is None:
            return instruction.result
        # What is in the transcript has been shown.
        shown = any("error" in event.facts for event in self.transcript.events[begun:])
        if isinstance(failure, LocalProtocolError):
            raise CommandFailed(str(failure), self.status_here(), shown=shown)
        raise CommandFailed(str(failure), EXIT_STATUS[failure.stage], error=failure.error, shown=shown)

    def _unanswered(self) -> NoReturn:
        self.view.note("no answer yet; the session is still there (:wait goes on waiting, :close ends it)")
        raise CommandFailed("the server has not answered", self.status_here(), shown=True)

    # Lines.

    def hint(self, line: str) -> str:
        """What is wrong with a line here and now; empty when nothing is, or when it does not go to the server."""
        if self.over or not line.strip():
            return ""
        if found := self._helper(line):
            return found[0].hint(self, found[1])
        if line.startswith(":") or self.state is State.CONTENT:
            return ""
        conn, encrypted = self.conversation.talk.conn, self.conversation.talk.tls is not None
        return hint(
            line,
            conn.state,
            conn.capabilities,
            encrypted=encrypted,
            smtputf8=self._smtputf8(),
            secret=self.view.hides(line),
        )

    def _smtputf8(self) -> bool:
        """Whether the sender of this transaction was given with SMTPUTF8."""
        if self.state not in (State.MAIL, State.RCPT):
            return False
        said = (event for event in reversed(self.transcript.events) if event.kind == "line" and event.who == "client")
        mail = next((event.text for event in said if event.text[:4].upper() == "MAIL"), "")
        return "SMTPUTF8" in mail.upper().split()

    def completions(self, text: str) -> Iterable[Completion]:
        """The ways to go on behind what is typed."""
        from ehlo.shell.commands import COMMANDS

        talk = self.conversation.talk
        helpers = [(command.name, command.summary) for command in COMMANDS.values()]
        return complete(
            text,
            self.state,
            talk.conn.capabilities,
            helo=talk.name,
            lmtp=talk.conn.lmtp,
            addresses=tuple(self.addresses),
            helpers=helpers,
        )

    def _helper(self, line: str) -> tuple[ShellCommand, str] | None:
        """The colon command that a line is, and what stands behind its name."""
        from ehlo.shell.commands import COMMANDS

        if not line.startswith(":"):
            return None
        name, _, rest = line[1:].strip().partition(" ")
        command = COMMANDS.get(name.lower())
        return None if command is None else (command, rest.strip())

    async def handle(self, line: str) -> None:
        """Do what a line says. Raises `CommandFailed`.

        Within a message a line may begin with a colon, so long as it is no helper's name.
        """
        in_message = self.state is State.CONTENT and not self.over
        if found := self._helper(line):
            command, rest = found
            if command.talks and self.over:
                raise CommandFailed(_OVER, self.status_here())
            await command.run(self, rest)
        elif in_message:
            await self._content_line(line)
        elif line.startswith(":"):
            raise CommandFailed(f"There is no command {line.split()[0]}; :help lists them.")
        elif self.over and line.strip():
            raise CommandFailed(_OVER, self.status_here())
        elif line.strip():
            data = line.encode("utf-8", "surrogateescape") + b"\r\n"
            self._remember_addresses(line)
            await self.done(lambda: self.send(data))

    async def done(self, deed: Deed) -> None:
        """Do something now, and again when the session is repeated: unless it came to nothing."""
        self._deeds.append(deed)
        begun = len(self.transcript.events)
        try:
            await deed()
        except CommandFailed:
            if not any(event.who == "client" for event in self.transcript.events[begun:]):
                self._deeds.remove(deed)
            raise

    async def again(self) -> None:
        """Another session, in which all that was done in this one is done again. Raises `CommandFailed` with the
        first thing that could not be done."""
        deeds = self._deeds[:]
        on_over, self.on_over = self.on_over, None
        await self.cut()
        self.on_over = on_over
        if not await self.open():
            raise CommandFailed("There is no session.", self.exit_status(), shown=True)
        with self.view.aloud():
            for deed in deeds:
                if self.over:
                    break
                await deed()

    async def send(self, data: bytes) -> None:
        """Send octets as they are, and wait until everything sent has been answered. Raises `CommandFailed`."""
        self.answer = None
        self.conversation.instruct(Instruction(lambda talk: utter(talk, data), self._heard.set))
        if not await self._until(lambda: self.over or not self.conversation.talk.conn.awaiting, self.wait):
            self._unanswered()
        if self.state is State.TLS and not self.over:
            self.view.note("the server waits for a TLS handshake: :starttls makes it")
        elif self.state is State.CONTENT and not self.over:
            self.view.note("type the message; a dot on a line of its own ends it")

    async def _content_line(self, line: str) -> None:
        if line != ".":
            self.lines.append(line)
            if line.startswith("."):
                self.view.note(f"sent as .{line}, for a line that begins with a dot (RFC 5321 §4.5.2)")
            return
        text = "".join(f"{each}\r\n" for each in self.lines)
        self.lines = []
        content = text.encode("utf-8", "surrogateescape")
        await self.done(lambda: self.send_content(content))

    async def send_content(self, content: bytes) -> None:
        """Send a message behind a 354, up to its dot. Raises `CommandFailed`."""
        await self.do(lambda talk: talk.content(content))

    def _remember_addresses(self, line: str) -> None:
        try:
            path = parse_command(line.encode("utf-8", "surrogateescape") + b"\r\n").path
        except CommandError:
            return
        if path is not None and path.address:
            self.addresses[path.address] = None

    def exit_status(self) -> int:
        """The exit status of the session so far."""
        return self.verdict().exit_status

    def status_here(self) -> int:
        """The exit status that says that something went wrong where the session stands."""
        return EXIT_STATUS[self.conversation.talk.conn.stage]


def _nothing(_: Talk) -> Asking[None]:
    yield from ()


def _drop(talk: Talk) -> Asking[None]:
    yield from ()
    raise SessionError("dropped", talk.conn.stage, "dropped on purpose")
