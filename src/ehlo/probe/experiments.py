"""Experiments: further sessions, each changed in one point, that tell apart what one session cannot.

    verdict ──> which experiments does it call for? ──> a few short sessions each ──> trials ──> a conclusion

They are polite: few, one after the other with a pause between them, and nothing is delivered. To add one, write a
function that yields trials, and another that concludes from them, and enter both in `EXPERIMENTS`. What a conclusion
says is a rule (`data/rules/experiments.toml`), found by the id in its `errors`.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import secrets
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from ipaddress import ip_address
from typing import NamedTuple

from ehlo.diagnosis.evidence import Evidence
from ehlo.diagnosis.judge import findings_of, judge
from ehlo.diagnosis.verdict import Finding, Verdict
from ehlo.net.intents import Address
from ehlo.net.names import LookupFailedError, is_address, resolve
from ehlo.net.session import Session
from ehlo.probe.plan import Plan, Tampering, Timeouts
from ehlo.probe.target import parse_target
from ehlo.probe.walk import client_session
from ehlo.smtp.address import NULL_PATH, AddressError, Mailbox, Path, parse_path
from ehlo.smtp.reply import Reply
from ehlo.smtp.stages import Stage
from ehlo.transcript.event import JsonValue
from ehlo.transcript.exchanges import exchanges
from ehlo.transcript.transcript import Transcript

#: Between two sessions with the same server, in seconds.
_PACE = 1.0
#: Longest wait at each stage of an experiment: it is one of several.
_CAP = 15.0
#: How long the patient session waits, in seconds.
_PATIENCE = 60.0
#: The places where mail servers listen, and how they encrypt there.
_PORTS: tuple[tuple[int, bool], ...] = ((25, False), (587, False), (465, True), (2525, False))
#: Octets on the wire in one line: what fits every network, one packet of Ethernet, several, many.
_SIZES = (500, 1_000, 1_400, 1_500, 4_096, 16_384, 65_536)
#: Block lists that are asked for one's own address, where the user wants that.
_LISTS = ("zen.spamhaus.org", "bl.spamcop.net", "b.barracudacentral.org", "psbl.surriel.com")


class Trial(NamedTuple):
    """One session of an experiment, or one look-up: what was changed, whether it worked, and what was seen.

    `rule` is the rule that the session ended with, if it failed.
    """

    what: str
    worked: bool
    detail: str
    rule: str = ""

    def to_json(self) -> dict[str, JsonValue]:
        """The trial as it stands in JSON documents."""
        return {"what": self.what, "worked": self.worked, "detail": self.detail}


class Outcome(NamedTuple):
    """What an experiment showed.

    `finding` is what it proved; None when it told nothing new. `names_the_cause` says whether nothing is left to ask.
    """

    name: str
    title: str
    trials: tuple[Trial, ...]
    finding: Finding | None
    names_the_cause: bool = False

    def to_json(self) -> dict[str, JsonValue]:
        """The outcome as it stands in JSON documents."""
        return {
            "name": self.name,
            "title": self.title,
            "trials": [trial.to_json() for trial in self.trials],
            "rule": self.finding.rule if self.finding else None,
            "conclusion": self.finding.title if self.finding else None,
        }


class Wishes(NamedTuple):
    """What the user allows beyond the usual.

    `wait` seconds for a greylist, a `control` target to compare with, look-ups in block `lists`. `pace` is the pause
    between sessions, `ports` where to try, `patience` how long to wait.
    """

    wait: float = 0.0
    control: str = ""
    lists: bool = False
    pace: float = _PACE
    patience: float = _PATIENCE
    ports: tuple[tuple[int, bool], ...] = _PORTS


class Bench:
    """Where experiments are made: the plan that did not work, its verdict, and a way to run sessions."""

    def __init__(
        self, plan: Plan, transcript: Transcript, verdict: Verdict, run: Callable[[Session], None], wishes: Wishes
    ) -> None:
        self.plan = plan._replace(timeouts=Timeouts(min(plan.timeouts.cap, _CAP)), pipelining=False, message=b"")
        self.transcript = transcript
        self.verdict = verdict
        self.wishes = wishes
        self._run = run
        self._began = False

    @property
    def rules(self) -> frozenset[str]:
        """The rules that the first session ended with."""
        return frozenset(finding.rule for finding in self.verdict.findings)

    def wants(self, experiment: str) -> bool:
        """Whether what was found says that this experiment would tell more."""
        return any(finding.experiment == experiment for finding in self.verdict.findings)

    @property
    def host(self) -> str:
        """The name of the server, not of the domain whose mail it takes."""
        return self.plan.target.host

    def attempt(self, plan: Plan) -> tuple[Verdict, Transcript]:
        """Run one session more."""
        if self._began and self.wishes.pace:
            time.sleep(self.wishes.pace)
        self._began = True
        session = client_session(plan)
        self._run(session)
        transcript = session.recorder.transcript
        return judge(transcript), transcript

    def try_(self, what: str, plan: Plan) -> Trial:
        """One session more as a trial: it worked if it came as far as the plan wanted."""
        verdict, transcript = self.attempt(plan)
        worked = verdict.outcome == "accepted"
        rule = verdict.findings[0].rule if verdict.findings and not worked else ""
        return Trial(what, worked, summary_of(verdict, transcript), rule)

    def addresses(self, host: str, port: int) -> tuple[Address, ...]:
        """The addresses of a host; none when it has none."""
        try:
            return resolve(host, port, "any")
        except LookupFailedError:
            return ()


def summary_of(verdict: Verdict, transcript: Transcript) -> str:
    """A session in half a line: the answer that decided it."""
    steps = exchanges(transcript.events)
    if verdict.outcome != "accepted" and verdict.findings:
        finding = verdict.findings[0]
        seen = finding.reply.text if finding.reply is not None else finding.seen or finding.title
        code = f"{finding.reply.code} " if finding.reply is not None else ""
        return f"{verdict.stage}: {code}{seen}"
    last = next((step for step in reversed(steps) if step.reply is not None and step.stage != "quit"), None)
    return f"{last.stage}: {_shown(last.reply)}" if last is not None and last.reply is not None else verdict.outcome


def _shown(reply: Reply) -> str:
    return f"{reply.code} {reply.lines[-1] if reply.lines else ''}"


class Experiment(NamedTuple):
    """An experiment.

    `calls_for` says whether the evidence calls for it; `trials` makes it; `conclude` gives the id of what it proved,
    which a rule has in its `errors`, and empty for nothing.
    """

    name: str
    title: str
    calls_for: Callable[[Bench], bool]
    trials: Callable[[Bench], Iterator[Trial]]
    conclude: Callable[[Bench, Sequence[Trial]], str]


#: What can be proved without knowing the cause.
_NO_CAUSES = frozenset(
    {
        "not-the-helo",
        "not-the-sender",
        "patience-does-not-help",
        "not-listed",
        "it-is-them",
        "it-is-us",
        "no-port-works",
    }
)
#: The last trial of an experiment that found a difference: whether it is one, or only time has passed.
_AS_BEFORE = "as before"


def investigate(bench: Bench, told: Callable[[Experiment], None] | None = None) -> Iterator[Outcome | Trial]:
    """Make the experiments that the verdict calls for. Gives each trial as it ends, and after them the outcome.

    `told` is called before each experiment.
    """
    for experiment in EXPERIMENTS:
        if not experiment.calls_for(bench):
            continue
        if told is not None:
            told(experiment)
        done: list[Trial] = []
        for trial in experiment.trials(bench):
            done.append(trial)
            yield trial
        if not done:
            continue
        proved = experiment.conclude(bench, done)
        final = bool(proved) and proved not in _NO_CAUSES
        finding = _finding(bench, proved) if proved else None
        yield Outcome(experiment.name, experiment.title, tuple(done), finding, final)
        if final:
            # The cause is known: further sessions would be idle curiosity.
            return


def _finding(bench: Bench, proved: str) -> Finding:
    subject = {"host": bench.host}
    plan = bench.plan
    if plan.recipients:
        subject["recipient"] = plan.recipients[0].address
    subject["sender"] = plan.sender.address or "<>"
    subject["helo"] = plan.helo or "this host's name"
    return findings_of([Evidence(bench.verdict.stage, (), error=proved, subject=subject)])[0]


# What calls for an experiment.


def _failed_at(*stages: Stage) -> Callable[[Bench], bool]:
    return lambda bench: bench.verdict.outcome == "failed" and bench.verdict.stage in stages


def _refused_at(*stages: Stage) -> Callable[[Bench], bool]:
    return lambda bench: bench.verdict.outcome == "refused" and bench.verdict.stage in stages


def _is_network(bench: Bench) -> bool:
    return bench.plan.target.transport == "tcp" and not bench.plan.target.mx


# Ports and encryption.


def _ports(bench: Bench) -> Iterator[Trial]:
    for port, on_connect in bench.wishes.ports:
        yield bench.try_(_door(port, on_connect), _at(bench.plan, port, on_connect))


def _door(port: int, on_connect: bool) -> str:
    return f"port {port}, {'TLS from the start' if on_connect else 'STARTTLS'}"


def _at(plan: Plan, port: int, on_connect: bool) -> Plan:
    target = plan.target._replace(port=port, scheme="smtps" if on_connect else "smtp")
    return plan._replace(
        target=target, credentials=None, recipients=(), stop_after="starttls" if not on_connect else "ehlo"
    )


def _conclude_ports(bench: Bench, trials: Sequence[Trial]) -> str:
    target = bench.plan.target
    own = next((trial for trial in trials if trial.what == _door(target.port, target.tls_on_connect)), None)
    others = [trial for trial in trials if trial.worked and trial is not own]
    if own is not None and own.worked:
        return "works-now"
    same_port = [trial for trial in others if trial.what.startswith(f"port {target.port},")]
    if same_port:
        return "other-tls-mode"
    if others and bench.verdict.stage == "connect":
        return "port-blocked" if target.port == 25 else "other-port"
    return "other-port" if others else "no-port-works" if bench.verdict.stage == "connect" else ""


def _modes(bench: Bench) -> Iterator[Trial]:
    port, on_connect = bench.plan.target.port, bench.plan.target.tls_on_connect
    yield bench.try_(_door(port, not on_connect), _at(bench.plan, port, not on_connect))


def _conclude_modes(_: Bench, trials: Sequence[Trial]) -> str:
    return "other-tls-mode" if any(trial.worked for trial in trials) else ""


# Addresses.


def _addresses(bench: Bench) -> Iterator[Trial]:
    target = bench.plan.target
    for address in bench.addresses(target.host, target.port):
        plan = bench.plan._replace(
            target=target._replace(host=address.host),
            tls_name=bench.plan.tls_name or target.host,
            sni=target.host if bench.plan.sni is None else bench.plan.sni,
        )
        yield bench.try_(address.host, plan)


def _has_several(bench: Bench) -> bool:
    target = bench.plan.target
    return _is_network(bench) and not is_address(target.host) and len(bench.addresses(target.host, target.port)) > 1


def _conclude_addresses(_: Bench, trials: Sequence[Trial]) -> str:
    worked = [trial for trial in trials if trial.worked]
    failed = [trial for trial in trials if not trial.worked]
    if not worked or not failed:
        return ""
    if all(":" in trial.what for trial in failed) and all(":" not in trial.what for trial in worked):
        return "ipv6-broken"
    if all(":" not in trial.what for trial in failed) and all(":" in trial.what for trial in worked):
        return "ipv4-broken"
    return "one-address-broken"


# TLS.


def _tls_versions(bench: Bench) -> Iterator[Trial]:
    from ehlo.probe.trials import trials

    for trial in trials(bench.plan, lambda session: bench._run(session)):
        yield Trial(f"TLS {trial.version}", trial.worked, trial.detail)


def _conclude_versions(_: Bench, trials: Sequence[Trial]) -> str:
    worked = [trial.what for trial in trials if trial.worked]
    if not worked:
        return "no-tls-version"
    return "only-old-tls" if not {"TLS 1.3", "TLS 1.2"} & set(worked) else "other-tls-version"


def _unverified(bench: Bench) -> Iterator[Trial]:
    plan = bench.plan._replace(verify="", insecure=True, credentials=None)
    yield bench.try_("without verification", plan)


def _conclude_unverified(_: Bench, trials: Sequence[Trial]) -> str:
    return "certificate-alone" if trials[0].worked else ""


def _sni(bench: Bench) -> Iterator[Trial]:
    short = bench.plan._replace(verify="name", stop_after="starttls", credentials=None, recipients=())
    if bench.plan.target.tls_on_connect:
        short = short._replace(stop_after="ehlo")
    name = bench.plan.tls_name or bench.host
    yield bench.try_(f"asking for {name}", short._replace(sni=name))
    yield bench.try_("asking for no name", short._replace(sni=""))


def _conclude_sni(_: Bench, trials: Sequence[Trial]) -> str:
    return "sni-matters" if len({trial.worked for trial in trials}) == 2 else ""


# Who one says one is.


def _helo_names(bench: Bench) -> list[str]:
    names = [socket.getfqdn()]
    domain = bench.plan.sender.mailbox.domain if bench.plan.sender.mailbox else None
    if domain:
        names += [f"mail.{domain}", domain]
    local = next((event.fact("local") for event in bench.transcript.events if event.kind == "connect"), "")
    address = local.rpartition(":")[0].strip("[]") if ":" in local else local
    if address:
        names.append(f"[IPv6:{address}]" if ":" in address else f"[{address}]")
    return [name for name in dict.fromkeys(names) if "." in name and name != bench.plan.helo][:3]


def _helo(bench: Bench) -> Iterator[Trial]:
    # Many servers judge the name only at RCPT, so the session goes on as far as the first one.
    for name in _helo_names(bench):
        trial = bench.try_(f"HELO {name}", bench.plan._replace(helo=name))
        yield trial
        if trial.worked:
            yield bench.try_(_AS_BEFORE, bench.plan)
            return


def _conclude_helo(_: Bench, trials: Sequence[Trial]) -> str:
    if _only_time(trials):
        return "works-now"
    return "helo-is-the-cause" if any(trial.worked for trial in trials) else "not-the-helo"


def _only_time(trials: Sequence[Trial]) -> bool:
    return trials[-1].what == _AS_BEFORE and trials[-1].worked


def _sender_paths(bench: Bench) -> list[tuple[str, Path]]:
    paths: list[tuple[str, Path]] = []
    user = bench.plan.credentials.user if bench.plan.credentials else ""
    if "@" in user:
        with contextlib.suppress(AddressError):
            paths.append(("the login as sender", parse_path(user, brackets=False)))
    paths.append(("the null sender", NULL_PATH))
    domain = bench.plan.sender.mailbox.domain if bench.plan.sender.mailbox else None
    if domain:
        paths.append(("postmaster as sender", Path(Mailbox("postmaster", domain))))
    return [(what, path) for what, path in paths if path != bench.plan.sender]


def _senders(bench: Bench) -> Iterator[Trial]:
    for what, path in _sender_paths(bench):
        trial = bench.try_(what, bench.plan._replace(sender=path))
        yield trial
        if trial.worked:
            yield bench.try_(_AS_BEFORE, bench.plan)
            return


def _conclude_senders(_: Bench, trials: Sequence[Trial]) -> str:
    if _only_time(trials):
        return "works-now"
    worked = [trial.what for trial in trials if trial.worked]
    if "the login as sender" in worked:
        return "sender-must-be-login"
    return "sender-is-the-cause" if worked else "not-the-sender"


# Who it is for.


def _recipients(bench: Bench) -> Iterator[Trial]:
    mailbox = bench.plan.recipients[0].mailbox
    domain = mailbox.domain if mailbox is not None else None
    if domain is None:
        return
    for what, local in (("postmaster", "postmaster"), ("an invented address", f"ehlo-{secrets.token_hex(6)}")):
        yield bench.try_(what, bench.plan._replace(recipients=(Path(Mailbox(local, domain)),)))


def _conclude_recipients(bench: Bench, trials: Sequence[Trial]) -> str:
    if len(trials) < 2:
        return ""
    postmaster, nobody = trials[0].worked, trials[1].worked
    if postmaster and nobody:
        return "this-recipient-alone"
    if postmaster:
        return "recipient-and-unknown-alike" if _alike(bench, trials[1]) else "this-recipient-alone"
    return "nobody-there-accepted"


def _alike(bench: Bench, trial: Trial) -> bool:
    """Whether an address that cannot exist is refused for the same reason as the one that was asked for."""
    return bool(bench.verdict.findings) and bench.verdict.findings[0].rule == trial.rule


# The way there.


def _sizes(bench: Bench) -> Iterator[Trial]:
    # A line that no server takes for anything but noise: it is answered, and nothing is delivered.
    for size in _SIZES:
        line = b"NOOP " + b"x" * (size - 7) + b"\r\n"
        plan = bench.plan._replace(tampering=Tampering(instead={"mail": line}), stop_after="mail", credentials=None)
        verdict, transcript = bench.attempt(plan)
        lines = [event for event in transcript.events if event.kind == "line"]
        asked = next((number for number, event in enumerate(lines) if event.text.startswith("NOOP x")), len(lines))
        answered = any(event.who == "server" for event in lines[asked : asked + 2])
        yield Trial(f"{size} octets", answered, summary_of(verdict, transcript))
        if not answered:
            return


def _conclude_sizes(_: Bench, trials: Sequence[Trial]) -> str:
    return "path-mtu" if trials[0].worked and not trials[-1].worked else ""


def _patience(bench: Bench) -> Iterator[Trial]:
    wait = bench.wishes.patience
    timeouts = Timeouts(max(wait, bench.plan.timeouts.cap))
    plan = bench.plan._replace(timeouts=timeouts, tampering=Tampering(pause=min(1.0, wait / 10)))
    yield bench.try_(f"waiting up to {wait:g} s for each reply", plan)


def _conclude_patience(_: Bench, trials: Sequence[Trial]) -> str:
    return "patience-helps" if trials[0].worked else "patience-does-not-help"


def _control(bench: Bench) -> Iterator[Trial]:
    target = parse_target(bench.wishes.control)
    plan = bench.plan._replace(target=target, credentials=None, recipients=(), verify="", stop_after="ehlo")
    yield bench.try_(str(target), plan)


def _conclude_control(_: Bench, trials: Sequence[Trial]) -> str:
    return "it-is-them" if trials[0].worked else "it-is-us"


# Time.


def _greylist(bench: Bench) -> Iterator[Trial]:
    began = time.monotonic()
    pause = 1.0
    while (passed := time.monotonic() - began) < bench.wishes.wait:
        time.sleep(min(pause, max(0.0, bench.wishes.wait - passed)))
        pause = min(60.0, pause * 2)
        trial = bench.try_(f"after {time.monotonic() - began:.0f} s", bench.plan)
        yield trial
        if trial.worked:
            return


def _conclude_greylist(_: Bench, trials: Sequence[Trial]) -> str:
    return "greylist-passed" if trials[-1].worked else "greylist-not-passed"


# This side.


def _own_address(bench: Bench) -> Iterator[Trial]:
    address = own_address(bench.transcript)
    if not address:
        return
    import dns.resolver
    import dns.reversename

    try:
        names = [str(name).rstrip(".") for name in dns.resolver.resolve(dns.reversename.from_address(address), "PTR")]
    except Exception as error:
        yield Trial(f"the name of {address}", False, str(error).splitlines()[0] if str(error) else "no answer")
        return
    yield Trial(f"the name of {address}", True, ", ".join(names))
    back = [found.host for name in names for found in bench.addresses(name, 25)]
    yield Trial(f"the addresses of {names[0]}", address in back, ", ".join(back) or "none")


def own_address(transcript: Transcript) -> str:
    """This side's address as the server sees it: what its EHLO reply repeats, or else the socket's own."""
    for event in transcript.events:
        if event.who == "server" and event.kind == "line" and event.stage == "ehlo":
            found = re.search(r"[\[(](?:IPv6:)?([0-9a-fA-F.:]{7,45})[\])]", event.text)
            if found:
                try:
                    return str(ip_address(found[1]))
                except ValueError:
                    continue
    local = next((event.fact("local") for event in transcript.events if event.kind == "connect"), "")
    address = local.rpartition(":")[0].strip("[]") if local.count(":") == 1 else local
    try:
        return str(ip_address(address)) if not ip_address(address).is_private else ""
    except ValueError:
        return ""


def _conclude_own_address(_: Bench, trials: Sequence[Trial]) -> str:
    if not trials[0].worked:
        return "no-name-here"
    return "" if trials[-1].worked else "name-does-not-lead-back"


def _lists(bench: Bench) -> Iterator[Trial]:
    address = own_address(bench.transcript)
    if not address:
        return
    import dns.resolver
    import dns.reversename

    reverse = dns.reversename.from_address(address).relativize(dns.name.root).labels[:-2]
    start = b".".join(reverse).decode("ascii")
    for zone in _LISTS:
        try:
            answers = [str(answer) for answer in dns.resolver.resolve(f"{start}.{zone}", "A")]
        except Exception:
            answers = []
        # 127.255.255.x is an answer about the question, not about the address.
        listed = [answer for answer in answers if answer.startswith("127.") and not answer.startswith("127.255.")]
        yield Trial(zone, not listed, ", ".join(listed) or "not listed")


def _conclude_lists(_: Bench, trials: Sequence[Trial]) -> str:
    return "listed-here" if any(not trial.worked for trial in trials) else "not-listed"


def _password(bench: Bench) -> Iterator[Trial]:
    credentials = bench.plan.credentials
    if credentials is None:
        return
    password = credentials.password
    digest = hashlib.sha256(password.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    odd = [
        what
        for what, holds in (
            ("space at the beginning or end", password != password.strip()),
            ("a line break", "\n" in password or "\r" in password),
            ("quotes around it", len(password) > 1 and password[0] == password[-1] and password[0] in "\"'"),
            ("characters beyond ASCII", not password.isascii()),
        )
        if holds
    ]
    detail = f"{len(password)} characters, SHA-256 begins with {digest}" + (f"; {', '.join(odd)}" if odd else "")
    yield Trial("the password as it was read", not odd, detail)


def _conclude_password(_: Bench, trials: Sequence[Trial]) -> str:
    return "" if trials[0].worked else "password-mangled"


_POLICY = frozenset({"policy", "reputation", "sender", "greeting"})
#: Rules that know no more than that a recipient was refused.
_VAGUE = frozenset({"recipient-refused", "recipient-postponed", "recipient-by-policy", "unknown"})


def _is_policy(bench: Bench) -> bool:
    """Refused for a reason that may lie with the client or the sender, and that time alone does not mend."""
    if bench.verdict.outcome != "refused" or bench.wants("greylist"):
        return False
    known = bench.verdict.layer in _POLICY or bench.verdict.stage in ("banner", "ehlo", "mail")
    return known or bool(bench.rules & _VAGUE)


def _refused_recipient(bench: Bench) -> bool:
    refused = bench.verdict.outcome == "refused" and bench.verdict.stage == "rcpt"
    return bool(bench.plan.recipients) and refused and not bench.wants("greylist")


def _certificate_in_the_way(bench: Bench) -> bool:
    findings = bench.verdict.findings
    return bench.verdict.outcome != "accepted" and findings[0].rule.startswith("certificate-")


#: In the order in which they are made: what is nearest to the wire first.
EXPERIMENTS: tuple[Experiment, ...] = (
    Experiment(
        "ports",
        "every port, with the encryption that belongs to it",
        lambda bench: _is_network(bench) and _failed_at("connect", "banner", "tls")(bench),
        _ports,
        _conclude_ports,
    ),
    Experiment(
        "modes",
        "the same port, encrypted the other way",
        lambda bench: (
            _is_network(bench)
            and _failed_at("tls", "banner", "starttls")(bench)
            and bench.plan.target.port not in [port for port, _ in bench.wishes.ports]
        ),
        _modes,
        _conclude_modes,
    ),
    Experiment(
        "addresses",
        "each address of the host by itself",
        lambda bench: bench.verdict.outcome != "accepted" and _has_several(bench),
        _addresses,
        _conclude_addresses,
    ),
    Experiment(
        "tls-versions",
        "each version of TLS by itself",
        lambda bench: _is_network(bench) and bench.wants("tls-versions"),
        _tls_versions,
        _conclude_versions,
    ),
    Experiment(
        "verification",
        "the same without verifying the certificate",
        _certificate_in_the_way,
        _unverified,
        _conclude_unverified,
    ),
    Experiment(
        "sni",
        "with and without asking for the name",
        lambda bench: bench.wants("sni"),
        _sni,
        _conclude_sni,
    ),
    Experiment(
        "patience",
        "one command at a time, with all the time in the world",
        lambda bench: _failed_at("banner", "ehlo", "mail", "rcpt")(bench) or _refused_at("banner")(bench),
        _patience,
        _conclude_patience,
    ),
    Experiment(
        "sizes",
        "lines of growing length: does the way let large packets through?",
        _failed_at("data", "message"),
        _sizes,
        _conclude_sizes,
    ),
    Experiment("helo", "other names to greet with", _is_policy, _helo, _conclude_helo),
    Experiment(
        "senders",
        "other senders",
        lambda bench: _refused_at("mail", "rcpt")(bench) and _is_policy(bench),
        _senders,
        _conclude_senders,
    ),
    Experiment(
        "recipients", "other recipients of the same domain", _refused_recipient, _recipients, _conclude_recipients
    ),
    Experiment(
        "own-address",
        "this machine's address and its name in the DNS",
        lambda bench: _is_policy(bench) and bool(own_address(bench.transcript)),
        _own_address,
        _conclude_own_address,
    ),
    Experiment(
        "lists",
        "block lists that have this machine's address",
        lambda bench: bench.wishes.lists and bool(own_address(bench.transcript)),
        _lists,
        _conclude_lists,
    ),
    Experiment(
        "control",
        "another server, for comparison",
        lambda bench: bool(bench.wishes.control) and bench.verdict.outcome != "accepted",
        _control,
        _conclude_control,
    ),
    Experiment(
        "password",
        "the password, without showing it",
        lambda bench: bench.plan.credentials is not None and _refused_at("auth")(bench),
        _password,
        _conclude_password,
    ),
    Experiment(
        "greylist",
        "the same again, later",
        lambda bench: bench.wishes.wait > 0 and bench.verdict.temporary,
        _greylist,
        _conclude_greylist,
    ),
)
