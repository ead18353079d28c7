"""The tests: what the product promises, and what happens when a safeguard is taken away."""
