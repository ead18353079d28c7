"""What traded on paper, decided again by the same cores on its record, and compared (S-05)."""
