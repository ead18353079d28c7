"""Payloads that nobody would write: every halt halts, and what is no start starts nothing."""
