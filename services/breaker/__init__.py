"""Circuit breakers, and the arbiter that owns start, reset, epoch and lease."""
