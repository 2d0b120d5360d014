"""The shell itself: one line goes in, something is done, what came of it is shown.

What is typed without a colon goes to the server exactly as it is typed. Everything the shell does with the
network is an instruction to a `Conversation`; nothing here touches a socket or a terminal.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol

from ehlo.diagnosis.verdict import EXIT_STATUS, Verdict
from ehlo.net import aio
from ehlo.net.names import Nameserver
from ehlo.probe.conversation import Conversation, Failure, Instruction, utter
from ehlo.probe.plan import Plan
from ehlo.probe.talk import Asking, T, Talk
from ehlo.shell.completion import Completion, complete
from ehlo.shell.hints import hint
from ehlo.shell.view import View
from ehlo.smtp.command import CommandError, parse_command
from ehlo.smtp.deviations import RemoteProtocolError
from ehlo.smtp.reply import Reply, ReplyReader
from ehlo.smtp.stages import Stage
from ehlo.smtp.states import ALLOWED, State
from ehlo.transcript.event import Event
from ehlo.transcript.transcript import Transcript


class Questions(Protocol):
    """How the shell asks for what it cannot know."""

    async def ask(self, what: str, *, secret: bool = False) -> str:
        """The answer; empty when there is none."""


class CommandFailed(Exception):  # noqa: N818 - it says what failed, for whoever typed it
    """A colon command that could not be carried out. The message is one sentence."""


#: Something that was done, and can be done again in another session.
Deed = Callable[[], Awaitable[None]]


class Shell:
    """One shell, and the session it is in.

    `last_reply` is what the server said last, with the stage it was said at. `lines` collects a message that
    is being typed. `left`: the user wants to go. `on_open` is called with the transcript of each session that
    begins, `on_event` after each event, `on_over` when a session has ended.
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
        self.conversation = Conversation(self.plan, self._event)
        if self.on_open is not None:
            self.on_open(self.transcript)
        opened = Instruction(_nothing, self._heard.set)
        self.conversation.instruct(opened)
        self._task = asyncio.create_task(self._run(self.conversation))
        await self._until(lambda: opened.done or self.over, self.wait)
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
                self.last_reply, self.last_stage = reply, event.stage
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

    async def close(self, *, politely: bool = True) -> None:
        """End the session: with QUIT where that may be said, else by closing the connection."""
        if not self.over and politely and "QUIT" in ALLOWED[self.state]:
            await self.send(b"QUIT\r\n")
        if not self.over:
            self.conversation.session.abandon("closed by the user")
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def abandon(self, note: str) -> None:
        """The program was told to stop at once: record why, and cut the connection."""
        if self._task is not None and not self.over:
            self.conversation.session.abandon(note)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

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

    async def settle(self) -> bool:
        """Wait until everything sent has been answered; False when it has not."""
        if await self._until(lambda: self.over or not self.conversation.talk.conn.awaiting, self.wait):
            return True
        self.view.note("no answer yet; the session is still there (:wait goes on waiting, :close ends it)")
        return False

    async def pause(self, seconds: float) -> None:
        """Wait for whatever the server says, or for a time."""
        count = len(self.transcript.events)
        await self._until(lambda: self.over or len(self.transcript.events) > count, seconds)

    async def do(self, step: Callable[[Talk], Asking[T]]) -> T:
        """Carry out a step and give its result. Raises `CommandFailed` when it could not be done."""
        instruction = Instruction(step, self._heard.set)
        self.conversation.instruct(instruction)
        if not await self._until(lambda: instruction.done, self.wait):
            raise CommandFailed("No answer yet; the session is still there.")
        failure: Failure | None = instruction.failure
        if failure is not None:
            # What is in the transcript has been shown already.
            raise CommandFailed(
                "" if any(event.kind == "error" for event in self.transcript.events[-3:]) else str(failure)
            )
        return instruction.result

    # Lines.

    def hint(self, line: str) -> str:
        """What is wrong with a line here and now; empty when nothing is, or when it is not for the server."""
        if line.startswith(":") or self.over or self.state is State.CONTENT or not line.strip():
            return ""
        talk = self.conversation.talk
        return hint(line, self.state, talk.conn.capabilities, encrypted=talk.tls is not None)

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

    async def handle(self, line: str) -> None:
        """Do what a line says. Problems are shown, not raised."""
        if line.startswith(":"):
            await self._command(line[1:])
        elif self.over:
            if line.strip():
                self.view.problem("The session is over; :again begins another like it, :quit leaves.")
        elif self.state is State.CONTENT:
            await self._content_line(line)
        elif line.strip():
            data = line.encode("utf-8", "surrogateescape") + b"\r\n"
            self._remember_addresses(line)
            await self.done(lambda: self.send(data))

    async def _command(self, text: str) -> None:
        from ehlo.shell.commands import COMMANDS

        name, _, rest = text.strip().partition(" ")
        command = COMMANDS.get(name.lower())
        if command is None:
            self.view.problem(f"There is no command :{name}; :help lists them.")
            return
        try:
            await command.run(self, rest.strip())
        except CommandFailed as failed:
            if str(failed):
                self.view.problem(str(failed))

    async def done(self, deed: Deed) -> None:
        """Do something now, and again when the session is repeated."""
        self._deeds.append(deed)
        await deed()

    async def again(self) -> None:
        """Another session, in which all that was done in this one is done again."""
        deeds = self._deeds[:]
        on_over, self.on_over = self.on_over, None
        await self.close(politely=False)
        self.on_over = on_over
        if await self.open():
            echo, self.view.echo = self.view.echo, True
            for deed in deeds:
                if self.over:
                    break
                await deed()
            self.view.echo = echo

    async def send(self, data: bytes) -> None:
        """Send octets as they are, and wait for the answer."""
        self.conversation.instruct(Instruction(lambda talk: utter(talk, data), self._heard.set))
        await self.settle()
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
        """Send a message behind a 354, up to its dot."""
        try:
            await self.do(lambda talk: talk.content(content))
        except CommandFailed as failed:
            if str(failed):
                self.view.problem(str(failed))

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

    def status_at(self, stage: Stage) -> int:
        """The exit status that says that something went wrong at a stage."""
        return EXIT_STATUS[stage]


def _nothing(_: Talk) -> Asking[None]:
    yield from ()
