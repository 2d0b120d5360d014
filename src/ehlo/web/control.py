"""The lab over HTTP: its sessions, its faults, its scenario, and the feed of what happens."""

from __future__ import annotations

from io import StringIO
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from ehlo import __version__
from ehlo.lab.faults import Switch
from ehlo.lab.scenario import (
    DEFAULT,
    FAULT_STAGES,
    ScenarioError,
    fault_to_json,
    parse_fault,
    scenario_names,
    shipped_scenario,
)
from ehlo.net.intents import endpoint
from ehlo.transcript import jsonl
from ehlo.transcript.redaction import redact
from ehlo.web.context import Context, Json, context_of
from ehlo.web.messages import body_of, fields_of, number_from

JsonObject = dict[str, Any]

#: What one request may list.
_MAX_SESSIONS = 500
_MAX_EVENTS = 5000
#: No scenario has a longer name.
_MAX_NAME = 100


def lab_to_json(context: Context) -> JsonObject:
    """The lab as it is now."""
    lab, store = context.lab, context.lab.store
    scenario = lab.scenario or DEFAULT
    return {
        "version": __version__,
        "host": lab.persona.host,
        "persona": lab.persona.name,
        "ports": {door: endpoint(lab.host, port) for door, port in lab.ports.items()},
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
        "keeps": store is not None,
    }


def lab(request: Request) -> Response:
    """The lab: where it listens, how it behaves, what it holds."""
    return Json(lab_to_json(context_of(request)))


def sessions(request: Request) -> Response:
    """The sessions, the newest first."""
    context = context_of(request)
    store = context.lab.store
    start, limit = number_from(request, "start", 0), number_from(request, "limit", 50, _MAX_SESSIONS)
    total, numbers = store.session_numbers(start, limit) if store else (0, [])
    rows = [row for number in numbers if (row := context.readings.row(number)) is not None]
    return Json({"total": total, "sessions": rows})


def _session_number(request: Request) -> int:
    number = int(request.path_params["number"])
    if number >= 2**62:
        raise _no_session()
    return number


def _no_session() -> HTTPException:
    return HTTPException(404, "There is no such session.")


def _part(request: Request) -> tuple[int, int]:
    return number_from(request, "start", 0), number_from(request, "limit", 1000, _MAX_EVENTS)


def session(request: Request) -> Response:
    """One session: its lines with their explanations, the steps in time, and what its client did wrong. A long one
    comes in parts."""
    found = context_of(request).readings.document(_session_number(request), *_part(request))
    if found is None:
        raise _no_session()
    return Json(found)


def session_events(request: Request) -> Response:
    """A part of a session: so many lines from one on, and the steps that end in them."""
    found = context_of(request).readings.part(_session_number(request), *_part(request))
    if found is None:
        raise _no_session()
    return Json(found)


def transcript(request: Request) -> Response:
    """The transcript of a session as a file, without secrets."""
    store, number = context_of(request).lab.store, _session_number(request)
    found = store.transcript(number) if store else None
    if found is None:
        raise _no_session()
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


async def remove_faults(request: Request) -> Response:
    """Remove the faults that were added; those of the scenario stay."""
    context_of(request).lab.faults.remove_added()
    return Json({})


async def switch_fault(request: Request) -> Response:
    """Switch a fault on or off."""
    all_faults, number = context_of(request).lab.faults, request.path_params["id"]
    enabled = (await fields_of(request, "enabled")).get("enabled")
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
        for scenario in [shipped_scenario(name)]
    ]
    return Json({"current": lab.scenario.name if lab.scenario else "", "scenarios": known})


async def use_scenario(request: Request) -> Response:
    """Take up another scenario; the empty name is a server that behaves."""
    context = context_of(request)
    name = (await fields_of(request, "name")).get("name")
    if not isinstance(name, str):
        raise HTTPException(400, "name is one of the scenarios that come with ehlo, or empty.")
    try:
        # Files are for the command line: a page must not make the lab read them.
        context.lab.use(shipped_scenario(name[:_MAX_NAME]) if name else DEFAULT)
    except ScenarioError as error:
        raise HTTPException(400, str(error)) from None
    return Json(lab_to_json(context))


async def events(request: Request) -> Response:
    """What happens, as server-sent events."""
    feed = context_of(request).feed
    return StreamingResponse(feed.stream(), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})
