"""Pages of sessions with a lab, and what they say."""

from __future__ import annotations

import html
import re
from typing import Any

from ehlo.diagnosis.judge import judge
from ehlo.diagnosis.verdict import Verdict
from ehlo.lab import Lab, Policy
from ehlo.lab.scenario import make_fault
from ehlo.net.blocking import run
from ehlo.probe.plan import Plan
from ehlo.probe.target import parse_target
from ehlo.probe.walk import client_session
from ehlo.report.page import session_page
from ehlo.smtp.address import parse_path
from ehlo.smtp.sasl import Credentials
from ehlo.transcript.transcript import Transcript

HOSTILE = "220 <script>document.title='x'</script><img src=http://127.0.0.1:1/ onerror=alert(1)>\x1b[2J\u202e"


def session(**words: Any) -> Transcript:
    """A session in which the recipient is refused, with a login."""
    policy = Policy(users={"alice": "wonderland"}, mailboxes=frozenset({"other@example.com"}))
    faults = [make_fault("banner", "", {"raw": HOSTILE + "\r\n"})] if words.get("hostile") else []
    with Lab(policy=policy, faults=faults).running() as lab:
        plan = Plan(
            parse_target(f"{lab.host}:{lab.port}"),
            helo="client.example",
            sender=parse_path("<me@here.example>"),
            recipients=(parse_path("<recipient@example.com>"),),
            credentials=Credentials("alice", "wonderland"),
            insecure=True,
        )
        client = client_session(plan)
        run(client)
    return client.recorder.transcript


def page_of(stage: str, **words: Any) -> tuple[str, Verdict]:
    """The page of a session with a lab that has this fault."""
    with Lab(faults=[make_fault(stage, "", words)]).running() as lab:
        plan = Plan(
            parse_target(f"{lab.host}:{lab.port}"),
            helo="client.example",
            sender=parse_path("<me@here.example>"),
            recipients=(parse_path("<recipient@example.com>"),),
        )
        client = client_session(plan)
        run(client)
    verdict = judge(client.recorder.transcript)
    return session_page(client.recorder.transcript, verdict), verdict


def words_of(page: str) -> str:
    """What a page says, in one line."""
    body = page.partition("</style>")[2].partition("<script>")[0]
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", body)))
