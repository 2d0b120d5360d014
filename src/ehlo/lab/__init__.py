"""The lab: a mail server to practise and to test against."""

from ehlo.lab.lab import Lab
from ehlo.lab.persona import Persona, load_persona
from ehlo.lab.policy import Limits, Message, Policy
from ehlo.lab.running import RunningLab

__all__ = ["Lab", "Limits", "Message", "Persona", "Policy", "RunningLab", "load_persona"]
