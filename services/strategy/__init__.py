"""Sessions and their strategies: market data in, signals out."""
