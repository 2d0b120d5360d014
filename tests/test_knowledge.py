"""The catalogue: rules are well-formed, and each example is answered by its own rule."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from ehlo.diagnosis.evidence import Evidence
from ehlo.diagnosis.judge import rules_that_hold
from ehlo.explain.case import Case, explain_case
from ehlo.knowledge.codes import enhanced_codes, explain_reply, meaning_of_code, meaning_of_enhanced, reply_codes
from ehlo.knowledge.language import meaning_of_command, meaning_of_keyword
from ehlo.knowledge.products import PRODUCTS, SENDERS, identify
from ehlo.knowledge.rules import LAYERS, Rule, RuleError, load_rules, parse_rules
from ehlo.lab.scenario import load_scenario
from ehlo.net.certificates import _PROBLEMS
from ehlo.net.errors import NETWORK_ERRORS
from ehlo.probe.experiments import EXPERIMENTS
from ehlo.smtp.deviations import Deviation
from ehlo.smtp.reply import EnhancedStatus, Reply, ReplyReader
from ehlo.smtp.stages import Stage
from ehlo.smtp.states import ALLOWED

RULES = load_rules()
REGISTRY = Path(__file__).parents[2] / "shared" / "facts" / "registry.json"


def reply_of(text: str) -> Reply:
    reply = ReplyReader().feed(
        text.replace("-", " ", 1).encode() + b"\r\n" if text[3] == "-" else text.encode() + b"\r\n"
    )
    assert reply is not None
    return reply


def evidence_for(rule: Rule, stage: Stage, example: str) -> list[Evidence]:
    """An example is a reply, or what came in the place of one where a rule is about an error."""
    errors = sorted(error for when in rule.when for error in when.errors)
    problems = sorted(problem for when in rule.when for problem in when.certificates)
    if all(when.errors or when.certificates for when in rule.when) or not example[:3].isdecimal():
        found = [Evidence(stage, (0,), error=error, seen=example) for error in errors]
        return found + [Evidence(stage, (0,), certificate=problem, seen=example) for problem in problems]
    return [Evidence(stage, (0,), reply_of(example))]


EXAMPLES = [(rule, example) for rule in RULES for example in rule.examples]
COUNTEREXAMPLES = [(rule, example) for rule in RULES for example in rule.counterexamples]


@pytest.mark.parametrize(("rule", "example"), EXAMPLES, ids=lambda value: getattr(value, "id", None))
def test_example_is_answered_by_its_rule(rule: Rule, example: str) -> None:
    for evidence in evidence_for(rule, rule.stages[0], example):
        matching = rules_that_hold(evidence, RULES)
        assert matching[0][0].id == rule.id
        assert len(matching) < 2 or matching[0][1] > matching[1][1], "two rules weigh the same"


#: Where nobody says the stage of a reply and no rule knows its words, what its code means at one stage or another would
#: be a guess: then these answer, which say so.
UNEXPLAINED = {"refused-unexplained", "postponed-unexplained"}
#: And where the status speaks of a policy, these: it does so at any stage.
BY_POLICY = {"recipient-by-policy", "policy-postponed"}
#: Rules that hold at one stage and know no words: without the stage they cannot be told from each other.
OF_STAGES = {
    "content-postponed", "content-refused", "data-refused", "ehlo-postponed", "ehlo-refused", "greeting-postponed",
    "greeting-refused", "login-postponed", "login-refused", "recipient-postponed", "recipient-refused",
    "sender-postponed", "sender-refused", "service-closing", "starttls-refused",
}  # fmt: skip
#: Other answers to an example, when nobody says the stage, and why they are as good.
OTHERWISE = {
    "500 5.5.2 Error: line too long": "line-of-command-too-long: 500 is rather the answer to a command",
    "503 5.5.1 Error: need MAIL command": "transaction-not-begun: it knows these words, the other no more than 503",
    "500 Command not recognized": "command-unknown: only at QUIT is it about the goodbye",
    "250 2.0.0 Ok": "notice-delivered: only at DATA is it no agreement",
    "250 2.1.5 Ok": "notice-delivered: only at DATA is it no agreement",
    "421 4.0.0 bye": "service-closing: only at QUIT is it about the goodbye",
}


def test_examples_without_a_stage() -> None:
    """`ehlo explain` mostly gets a reply alone: its rule is found all the same, or nothing is claimed of it."""
    others = {}
    for rule, example in EXAMPLES:
        if example[:3].isdecimal() and not all(when.errors for when in rule.when):
            reply = reply_of(example)
            status = str(reply.enhanced or "")
            found = explain_case(Case(text=reply.text, code=reply.code, status=status)).rule
            if found != rule.id and not (rule.id in OF_STAGES and found in UNEXPLAINED | BY_POLICY):
                others[example] = found
    assert others == {example: reason.partition(":")[0] for example, reason in OTHERWISE.items()}


@pytest.mark.parametrize(("rule", "example"), COUNTEREXAMPLES, ids=lambda value: getattr(value, "id", None))
def test_counterexample_is_not(rule: Rule, example: str) -> None:
    for stage in rule.stages:
        (evidence, *_) = evidence_for(rule, stage, example)
        matching = rules_that_hold(evidence, RULES)
        assert rule.id not in [other.id for other, _ in matching]


@pytest.mark.parametrize("rule", list(RULES), ids=lambda rule: rule.id)
def test_rule_has_what_a_rule_has(rule: Rule) -> None:
    assert rule.why
    assert rule.refs
    # Of an error or a certificate there is nothing that is nearly it.
    judges_replies = not all(when.errors or when.certificates for when in rule.when)
    assert not judges_replies or (rule.examples and rule.counterexamples)


@pytest.mark.parametrize("rule", list(RULES), ids=lambda rule: rule.id)
def test_rule_is_well_formed(rule: Rule) -> None:
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", rule.id)
    for text in (rule.title, rule.why, *rule.fix):
        known = {"recipient", "sender", "helo", "host", "address", "stage"}
        if rule.layer == "client" and rule.id.startswith("client-"):
            known |= {"command", "seconds", "certificate"}
        if rule.id.startswith("question-"):
            known |= {"command"}
        assert set(re.findall(r"\{(\w+)\}", text)) <= known
    assert not rule.title.endswith(".")
    assert rule.why.endswith((".", "?"))
    by_words = any(when.codes or when.enhanced or when.text for when in rule.when)
    assert bool(rule.examples) or not by_words, "a rule about what is said has examples"
    # What is said of a client is proved by tests/test_duties.py, what an experiment shows by tests/probe.
    assert rule.examples or rule.scenario or rule.id.startswith(("client-", "proved-")), "a rule is proved"


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule.scenario], ids=lambda rule: rule.id)
def test_a_scenario_ends_with_its_rule(rule: Rule) -> None:
    # tests/lab/test_scenarios.py runs them all, and looks which rule comes first.
    assert load_scenario(rule.scenario).rule == rule.id


def test_links_between_rules() -> None:
    experiments = {experiment.name for experiment in EXPERIMENTS}
    programs = {*SENDERS, *(product.id for product in PRODUCTS)}
    for rule in RULES:
        assert all(RULES.get(other) for other in rule.alternatives), rule.id
        assert rule.id not in rule.alternatives
        assert rule.experiment in {"", *experiments}, rule.id
        assert {*rule.settings, *rule.server} <= programs, rule.id


def test_advice_names_what_ehlo_can_do_itself() -> None:
    advice = {rule.id: " ".join(rule.fix) for rule in RULES}
    assert not [rule for rule, text in advice.items() if "s_client" in text or "swaks" in text]
    for rule in ("tls-old-version", "tls-no-common-cipher", "tls-failed", "tls-cut", "tls-on-connect-cut"):
        assert "--explain-tls" in advice[rule]


def test_a_handshake_after_starttls_that_was_cut_is_no_matter_of_ports() -> None:
    at = {stage: RULES.for_error("tls-cut", "cut", stage)[0][0] for stage in ("tls", "starttls")}
    assert (at["tls"].id, at["starttls"].id) == ("tls-on-connect-cut", "tls-cut")
    assert at["tls"].settings
    assert not at["starttls"].settings


def test_no_rule_knows_where_another_finding_stands() -> None:
    """The order of findings depends on the session; what a finding has seen stands beneath its own advice."""
    for rule in RULES:
        assert not re.search(r"as said (below|above)|\((above|below)\)|stage above", f"{rule.why} {' '.join(rule.fix)}")


def test_there_are_rules_enough() -> None:
    assert len(RULES) >= 150
    assert {rule.layer for rule in RULES} == set(LAYERS)


def test_conditions_name_errors_that_exist() -> None:
    probe = Path(__file__).parents[1] / "src" / "ehlo" / "probe"
    duties = probe.parent / "diagnosis" / "duties.py"
    evidence = probe.parent / "diagnosis" / "evidence.py"
    logs = sorted((probe.parent / "explain" / "logs").glob("*.py"))
    bounces = sorted((probe.parent / "explain" / "bounces").glob("*.py"))
    explain = sorted((probe.parent / "explain").glob("*.py"))
    experiments = sorted((probe / "experiments").glob("*.py"))
    own = (probe / "walk.py", probe / "talk.py", *experiments, duties, evidence)
    modules = (*own, *explain, *logs, *bounces)
    source = "".join(module.read_text() for module in modules)
    raised = set(re.findall(r'"([a-z0-9-]+)"', source)) | {"masked-banner", "masked-ehlo"}
    known = set(NETWORK_ERRORS) | {deviation.value for deviation in Deviation} | raised | {"interrupted", "not-sent"}
    for rule in RULES:
        for when in rule.when:
            assert when.errors <= known, rule.id
            assert when.certificates <= {*_PROBLEMS.values(), "missing", "not-verified"}, rule.id


@pytest.mark.parametrize("error", sorted(NETWORK_ERRORS))
def test_each_network_error_has_a_rule(error: str) -> None:
    assert any(error in when.errors for rule in RULES for when in rule.when)


@pytest.mark.parametrize("problem", sorted({*_PROBLEMS.values(), "missing", "not-verified"}))
def test_each_certificate_problem_has_a_rule(problem: str) -> None:
    assert any(problem in when.certificates for rule in RULES for when in rule.when)


@pytest.mark.parametrize("stage", ["banner", "ehlo", "starttls", "auth", "mail", "rcpt", "data", "message", "quit"])
@pytest.mark.parametrize("code", [421, 450, 500, 550, 554, 599])
def test_every_refusal_has_a_rule(stage: str, code: int) -> None:
    evidence = Evidence(stage, (0,), Reply(code, ("something unheard of",)))  # type: ignore[arg-type]
    assert rules_that_hold(evidence, RULES)


@pytest.mark.parametrize("error", ["closed", "reset", "timed-out", "no-reply-code", "line-too-long", "endless-reply"])
@pytest.mark.parametrize("stage", ["banner", "ehlo", "starttls", "auth", "mail", "rcpt", "data", "message", "quit"])
def test_every_broken_session_has_a_rule(stage: str, error: str) -> None:
    assert rules_that_hold(Evidence(stage, (0,), error=error), RULES)  # type: ignore[arg-type]


def test_malformed_rules_are_named() -> None:
    good = 'title = "x"\nlayer = "tls"\nstages = ["tls"]\nwhen = { errors = ["x"] }\nwhy = "x."\nfix = []\nrefs = []\n'
    assert parse_rules("[good]\n" + good)[0].id == "good"
    for bad in (
        good.replace('layer = "tls"', 'layer = "elsewhere"'),
        good.replace('stages = ["tls"]', 'stages = ["nowhere"]'),
        good.replace('{ errors = ["x"] }', "{}"),
        good.replace('{ errors = ["x"] }', '{ text = ["("] }'),
        good.replace('{ errors = ["x"] }', '{ moods = ["x"] }'),
        good.replace('why = "x."\n', ""),
        good + "colour = 'red'\n",
    ):
        with pytest.raises(RuleError, match="bad"):
            parse_rules("[bad]\n" + bad)
    with pytest.raises(RuleError):
        parse_rules("[bad")


def test_code_tables_are_complete() -> None:
    if not REGISTRY.exists():
        pytest.skip("the registry's table is not beside the project")
    registry = json.loads(REGISTRY.read_text())
    assert reply_codes() == {str(entry["code"]) for entry in registry["basic"]}
    assert enhanced_codes() == {entry["code"] for entry in registry["enhanced"]}


def test_codes_of_the_tutorial_read_well() -> None:
    service_ready = meaning_of_code(220)
    assert service_ready is not None
    assert service_ready.title == "Service ready"
    assert explain_reply(Reply(250, ("2.1.0 Ok",))) == "The address was accepted."
    assert explain_reply(Reply(250, ("2.1.5 Ok",))) == "The recipient's address was accepted."
    assert explain_reply(Reply(250, ("2.0.0 Ok: queued as X",))) == "The server did what the command asked for."
    assert meaning_of_code(299) is None
    unregistered = meaning_of_enhanced(EnhancedStatus(5, 7, 999))
    assert unregistered is not None
    assert unregistered.title == "Something about security or policy"


def test_margin_texts_fit_into_the_margin() -> None:
    verbs = set().union(*ALLOWED.values()) - {"LHLO", "BDAT", "XCLIENT"}
    assert all(0 < len(meaning_of_command(verb)) <= 42 for verb in verbs)
    tutorial = ["PIPELINING", "SIZE", "VRFY", "ETRN", "STARTTLS", "ENHANCEDSTATUSCODES", "8BITMIME", "DSN"]
    assert all(0 < len(meaning_of_keyword(keyword)) <= 42 for keyword in tutorial)


@pytest.mark.parametrize(
    ("banner", "host", "name"),
    [
        ("mail.example.com ESMTP Postfix", "mail.example.com", "Postfix"),
        ("mail.example.com ESMTP Postfix (Debian/GNU)", "mail.example.com", "Postfix"),
        ("mail.example.com ESMTP Exim 4.96 Mon, 23 Nov 2026 10:00:00 +0000", "mail.example.com", "Exim"),
        ("mx.google.com ESMTP a1b2 - gsmtp", "mx.google.com", "Google"),
        ("VI1EUR.mail.protection.outlook.com Microsoft ESMTP MAIL Service ready at now", "x", "Exchange"),
        ("x Microsoft ESMTP MAIL Service ready", "x.mail.protection.outlook.com", "Microsoft 365"),
        ("mail.example.com ESMTP OpenSMTPD", "mail.example.com", "OpenSMTPD"),
        ("mail.example.com Python SMTP 1.4.6", "mail.example.com", "aiosmtpd"),
        ("maximum.example.com ESMTP", "maximum.example.com", None),
        ("mailpit.example.com ESMTP Postfix", "mailpit.example.com", "Postfix"),
        ("vps-1.vps.ovh.net ESMTP Exim 4.96", "vps-1.vps.ovh.net", "Exim"),
        ("m Microsoft ESMTP MAIL Service, Version: 10.0.17763.1697 ready", "m", "IIS SMTP"),
        ("Mailgun Influx ready", "mxa.mailgun.org", "Mailgun"),
    ],
)
def test_products_are_told_by_their_words(banner: str, host: str, name: str | None) -> None:
    product = identify(banner, [host])
    assert (product.name if product else None) == name


def test_what_a_server_quotes_does_not_name_it() -> None:
    quoted = "Service unavailable; Client host [192.0.2.1] blocked using b.barracudacentral.org"
    product = identify("mail.example.com ESMTP Postfix", ["mail.example.com"], [quoted])
    assert product is not None
    assert product.name == "Postfix"


def test_products_have_signs_and_names_of_their_own() -> None:
    assert len({product.id for product in PRODUCTS}) == len(PRODUCTS)
    for product in PRODUCTS:
        assert product.banner or product.host or product.reply, product.id
        assert product.kind in ("product", "provider")
