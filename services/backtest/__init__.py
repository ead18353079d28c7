"""Backtests: a recording through every core of the live system, in one process.

A shell around `services.system`: it reads files, runs the cores on the recorded clock, and turns
what happened into figures, a page, and a record that prerequisites of real money are read from.
"""
