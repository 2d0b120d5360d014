"""The lab: a mail server to practise and to test against."""

from ehlo.lab.lab import Lab, RunningLab
from ehlo.lab.persona import Persona, load_persona
from ehlo.lab.policy import Message, Policy

__all__ = ["Lab", "Message", "Persona", "Policy", "RunningLab", "load_persona"]
