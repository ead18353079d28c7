"""The record of everything on the bus: streams, hash-chained journal, JSON Lines."""
