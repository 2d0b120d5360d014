"""Benchmarks against peers, run side by side: `make bench` writes docs/performance.md.

Figures are ratios of medians of interleaved runs, so that they say something on any machine.
"""
