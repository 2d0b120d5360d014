"""Bounces: delivery status notifications, what systems wrote before there were any, complaints, vacation notices.

    octets ──> parts: header, report, human text, returned message ──> fields and freeform: what is told of each
    recipient ──> diagnostic: code, status, server, stage ──> cases

A reader here knows shapes that many systems share (a report's fields, an address before its reason, a transcript),
never the words of a single mail. What the words mean is in the rules.
"""

from ehlo.explain.bounces.many import read_many
from ehlo.explain.bounces.reader import Bounce, read_bounce

__all__ = ["Bounce", "read_bounce", "read_many"]
