"""The whole system in a simulation: every core there is, on a bus that lies, checked as it runs."""
