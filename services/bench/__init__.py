"""Benchmarks: each figure beside a yardstick taken in the same run. `sluice bench` runs them."""
