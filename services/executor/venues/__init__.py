"""The venues orders can go to: the paper exchange, and the adapters that speak to one."""
