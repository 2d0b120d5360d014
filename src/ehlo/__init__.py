"""ehlo, the SMTP debugger."""

__version__ = "0.1.0"
