"""The executor: approved orders to the venue, at most once each, and what became of them."""
