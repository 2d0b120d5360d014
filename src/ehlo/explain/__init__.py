"""Explaining what others have recorded: a reply, a pasted session, an exception, a bounce, a log. No network.

text ──> detect: what kind is it? ──> a reader of that kind ──> cases or transcripts ──> rules ──> findings
"""
