"""The strategies that come with the system."""
