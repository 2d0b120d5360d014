"""The lab over HTTP: its sessions, its faults, its scenario, and the feed of what happens."""

from __future__ import annotations

from io import StringIO
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from ehlo import __version__
from ehlo.lab.faults import Switch
from ehlo.lab.lab import Lab
from ehlo.lab.scenario import (
    DEFAULT,
    FAULT_STAGES,
    ScenarioError,
    fault_to_json,
    load_scenario,
    parse_fault,
    scenario_names,
)
from ehlo.transcript import jsonl
from ehlo.transcript.redaction import redact
from ehlo.transcript.transcript import Transcript
from ehlo.web.context import Context, Json, context_of
from ehlo.web.messages import body_of, number_from
from ehlo.web.sessions import session_document, session_to_json

JsonObject = dict[str, Any]

#: So many sessions after one are looked at to see whether its client came back.
_MAX_LATER = 200


def lab_to_json(context: Context) -> JsonObject:
    """The lab as it is now."""
    lab, store = context.lab, context.lab.store
    scenario = lab.scenario or DEFAULT
    return {
        "version": __version__,
        "host": lab.persona.host,
        "persona": lab.persona.name,
        "ports": {door: f"{lab.host}:{port}" for door, port in lab.ports.items()},
        "scenario": scenario.name,
        "title": scenario.title,
        "description": scenario.description,
        "messages": store.count if store else 0,
        "unread": store.unread() if store else 0,
        "sessions": store.session_numbers(0, 0)[0] if store else 0,
        "mailboxes": sorted(lab.policy.mailboxes),
        "any_recipient": lab.policy.any_recipient,
        "users": sorted(lab.policy.users),
        "release": bool(context.release),
    }


def lab(request: Request) -> Response:
    """The lab: where it listens, how it behaves, what it holds."""
    return Json(lab_to_json(context_of(request)))


def sessions(request: Request) -> Response:
    """The sessions, the newest first."""
    lab = context_of(request).lab
    start, limit = number_from(request, "start", 0), number_from(request, "limit", 50, 500)
    total, numbers = lab.store.session_numbers(start, limit) if lab.store else (0, [])
    shown = []
    for number in numbers:
        transcript = lab.store.transcript(number) if lab.store else None
        if transcript is not None and lab.store is not None:
            ids = lab.store.messages_of(number)
            shown.append(session_to_json(number, transcript, ids, running=lab.is_running(number)))
    return Json({"total": total, "sessions": shown})


def _session(request: Request) -> tuple[Lab, int, Transcript]:
    lab = context_of(request).lab
    number = int(request.path_params["number"])
    transcript = lab.store.transcript(number) if lab.store and number < 2**62 else None
    if transcript is None:
        raise HTTPException(404, "There is no such session.")
    return lab, number, transcript


def session(request: Request) -> Response:
    """One session: every line with its explanation, the steps in time, and what its client did wrong."""
    lab, number, transcript = _session(request)
    if lab.store is None:
        raise HTTPException(404, "This lab keeps nothing.")
    later = [
        following
        for each in range(number + 1, number + 1 + _MAX_LATER)
        if (following := lab.store.transcript(each)) is not None
    ]
    ids = lab.store.messages_of(number)
    return Json(session_document(number, transcript, ids, running=lab.is_running(number), later=later))


def transcript(request: Request) -> Response:
    """The transcript of a session as a file, without secrets."""
    _, number, found = _session(request)
    out = StringIO()
    jsonl.write(redact(found), out)
    return Response(
        out.getvalue().encode("utf-8", "surrogateescape"),
        media_type="application/x-ndjson",
        headers={"Content-Disposition": f'attachment; filename="session-{number}.jsonl"'},
    )


def _switch_to_json(switch: Switch) -> JsonObject:
    return {
        "id": switch.id,
        **fault_to_json(switch.fault),
        "enabled": switch.enabled,
        "hits": switch.hits,
        "own": switch.own,
    }


def faults(request: Request) -> Response:
    """All faults, in the order in which they are asked."""
    switches = context_of(request).lab.faults.switches
    return Json({"faults": [_switch_to_json(switch) for switch in switches], "stages": list(FAULT_STAGES)})


async def add_fault(request: Request) -> Response:
    """Add a fault and switch it on."""
    body = await body_of(request)
    try:
        switch = context_of(request).lab.faults.add(parse_fault(body))
    except ScenarioError as error:
        raise HTTPException(400, str(error)) from None
    return Json(_switch_to_json(switch), 201)


async def switch_fault(request: Request) -> Response:
    """Switch a fault on or off."""
    body = await body_of(request)
    all_faults, number = context_of(request).lab.faults, request.path_params["id"]
    enabled = body.get("enabled")
    if not isinstance(enabled, bool):
        raise HTTPException(400, "enabled is true or false.")
    try:
        all_faults.switch(number, on=enabled)
        return Json(_switch_to_json(all_faults[number]))
    except KeyError:
        raise HTTPException(404, "There is no such fault.") from None


async def remove_fault(request: Request) -> Response:
    """Remove a fault."""
    try:
        context_of(request).lab.faults.remove(request.path_params["id"])
    except KeyError:
        raise HTTPException(404, "There is no such fault.") from None
    return Json({})


def scenarios(request: Request) -> Response:
    """The scenarios that come with ehlo, and the one in use."""
    lab = context_of(request).lab
    known = [
        {
            "name": name,
            "title": scenario.title,
            "description": scenario.description,
            "rule": scenario.rule,
            "persona": scenario.persona,
        }
        for name in scenario_names()
        for scenario in [load_scenario(name)]
    ]
    return Json({"current": lab.scenario.name if lab.scenario else "", "scenarios": known})


async def use_scenario(request: Request) -> Response:
    """Take up another scenario; the empty name is a server that behaves."""
    context = context_of(request)
    name = (await body_of(request)).get("name")
    if not isinstance(name, str) or (name and name not in scenario_names()):
        # Files are for the command line: a page must not make the lab read them.
        raise HTTPException(400, "name is one of the scenarios that come with ehlo, or empty.")
    context.lab.use(load_scenario(name) if name else DEFAULT)
    return Json(lab_to_json(context))


async def events(request: Request) -> Response:
    """What happens, as server-sent events."""
    feed = context_of(request).feed
    return StreamingResponse(feed.stream(), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})
