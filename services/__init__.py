"""The services: each a pure core and a thin shell; they meet only as events."""
