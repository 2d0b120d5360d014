"""A bug in the lab ends the one session that meets it: in order, and not in silence."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from ehlo.lab import Lab, RunningLab, answers
from ehlo.lab.lab import Watcher
from ehlo.smtp.command import Command
from ehlo.smtp.reply import Reply
from ehlo.transcript.event import Event
from lab.wire import Wire, play

FAREWELL = "S: 421 4.3.0 mail.example.com Error in the lab, which ends this session"
EHLO = "C: HELO client.example\nS: 250 mail.example.com"


def breaks(_: answers.Answers, command: Command) -> Reply:
    raise ValueError(f"no {command.verb} today")


def cannot_be_said(_: answers.Answers, command: Command) -> Reply:
    return Reply(250, ("one\r\n250 two",))


@pytest.fixture(name="lab")
def running_lab() -> Iterator[RunningLab]:
    with Lab().running(doors={"smtps": 0}) as lab:
        yield lab


@pytest.mark.parametrize("handler", [breaks, cannot_be_said])
@pytest.mark.parametrize("faults", [False, True])
def test_the_session_ends_in_order(
    lab: RunningLab,
    handler: object,
    faults: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setitem(answers._HANDLERS, "ETRN", handler)
    if faults:
        lab.fault("quit", close=True)
    with Wire(lab) as wire, caplog.at_level(logging.ERROR, "ehlo.lab"):
        wire.play(f"banner\n{EHLO}")
        # What was said before goes out, though it was written together with what could not be.
        wire.socket.sendall(b"NOOP\r\nRSET\r\nETRN x\r\nNOOP\r\n")
        wire.play(f"S: 250 2.0.0 Ok\nS: 250 2.0.0 Ok\n{FAREWELL}\nclosed")
    (record,) = caplog.records
    said = record.getMessage()
    assert said.startswith("Session #1 was ended by a bug in ehlo: ")
    assert said.count("\n") == 0
    events = lab.sessions[0].events
    (error,) = [event for event in events if event.kind == "error"]
    assert error.fact("error") == "crashed"
    assert str(error.fact("message")).startswith("a bug in ehlo: ")
    assert [event.text for event in events if event.who == "server" and event.kind == "line"][-1] == FAREWELL[3:]
    assert (events[-1].kind, events[-1].who) == ("close", "server")
    # All others go on.
    play(lab, f"banner\n{EHLO}\nNOOP")


def test_under_tls(lab: RunningLab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(answers._HANDLERS, "NOOP", breaks)
    with Wire(lab, "smtps") as wire:
        wire.start_tls()
        wire.play(f"banner\n{EHLO}\nC: NOOP\n{FAREWELL}\nclosed")


def test_before_the_greeting(lab: RunningLab, monkeypatch: pytest.MonkeyPatch) -> None:
    def greeting(_: object) -> Reply:
        raise KeyError("none")

    monkeypatch.setattr(type(lab.lab.persona), "greeting", property(greeting))
    with Wire(lab) as wire:
        wire.play(f"{FAREWELL}\nclosed")


def test_who_listens_may_break(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(Watcher):
        def happened(self, number: int, event: Event) -> None:
            if event.text.startswith("HELO"):
                raise RuntimeError("the watcher fell asleep")

    with Lab(watchers=[Broken()]).running() as lab, Wire(lab) as wire:
        wire.play(f"banner\nC: HELO x\n{FAREWELL}\nclosed")
        assert not lab.lab.is_running(1)
