"""Sessions in processes of their own: whatever a strategy does there, nothing else goes with it."""
