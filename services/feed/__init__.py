"""Market data: sources, the order book, staleness, pacing."""
