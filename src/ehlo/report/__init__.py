"""Renderers: a transcript and its verdict for people (`terminal`) and for programs (`document`)."""
