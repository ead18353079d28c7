"""When markets are open: tables of sessions, and the questions that are asked of them."""
