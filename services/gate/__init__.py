"""The risk gate: what stands between a signal and an order."""
