"""The transcript: the record of a session that everything writes and everything reads.

Data goes one way: events are recorded (`Recorder`), redacted, written and read (`jsonl`, imported
where it is needed), and read as exchanges (`exchanges`).
"""

from ehlo.transcript.event import Event, Facts, JsonValue, Kind, Who
from ehlo.transcript.exchanges import Exchange, ExchangeReader, Outcome, exchanges
from ehlo.transcript.redaction import Redactor, redact
from ehlo.transcript.transcript import SOFTWARE, Header, Listener, Recorder, Role, Transcript

__all__ = [
    "SOFTWARE",
    "Event",
    "Exchange",
    "ExchangeReader",
    "Facts",
    "Header",
    "JsonValue",
    "Kind",
    "Listener",
    "Outcome",
    "Recorder",
    "Redactor",
    "Role",
    "Transcript",
    "Who",
    "exchanges",
    "redact",
]
