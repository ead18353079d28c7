"""What kind of order it is: bits of a number.

Many checks are about one kind only. Of any other order they have nothing to say, and the gate knows
that before it asks them.
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

SOMEBODYS = 1024
"""It is not a flatten's, that closes positions in nobody's name."""

RAISING = 2048
"""It raises the worst case of its instrument, or nobody can tell."""

ANY = -1
"""Every order, a plain one too."""
