"""What must stand before a session may trade with real money, and whether it does (S-05, S-06)."""
