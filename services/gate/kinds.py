"""What sets an order apart from a plain one that nothing stands in the way of: bits of a number.

Most checks are about one such thing only. Of any other order they have nothing to say, and the gate
knows that before it asks them.
"""

REFUSED = 1
"""The control guard lets nothing pass."""

RESTRICTED = 2
"""A restriction holds for the order."""

DOUBTED = 4
"""What the account is exposed to is not known."""

CLOSED = 8
"""The venue has said something, and not that the instrument is open."""

UNMET = 16
"""No order of the session was approved by this process yet."""

UNASSIGNED = 32
"""The session has no strategy's limits over it."""

OWN_LIMIT = 64
"""The session was started with a limit on the value of one order."""

REDUCING = 128
"""The order is reduce-only."""

REPLACING = 256
"""The order is to take the place of another one."""

SLICE = 512
"""The order is a slice of a larger one, or says half of that."""

ANY = -1
"""Every order, a plain one too."""
