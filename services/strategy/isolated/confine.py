"""Take from this very process what a strategy has no use for, for good (Linux: Landlock).

No TCP connection can be made or served, so that no bus key is of use; no file can be written; no
process outside can be signalled. Memory beyond twice the session's limit is not given.
"""

import contextlib
import ctypes
import os
import resource
import struct

PR_SET_NO_NEW_PRIVS = 38
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
RULE_PATH_BENEATH = 1
WRITES = (1 << 1) | sum(1 << bit for bit in range(4, 15))
"""Write to a file, remove, make (of every kind), refer and truncate."""

TCP = (1 << 0) | (1 << 1)
SCOPES = (1 << 0) | (1 << 1)
"""Abstract sockets, and signals, to outside."""

ABI_WITH_SCOPES = 6
TRUNCATE_ABI, NET_ABI = 3, 4


def confine(memory_mb_max: int) -> bool:
    """Confine this process and all it will ever start; return False where the kernel cannot.

    `/dev/null` stays writable.
    """
    limit_bytes = 2 * memory_mb_max << 20
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_DATA, (limit_bytes, limit_bytes))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        abi = libc.syscall(CREATE_RULESET, None, 0, 1)
    except (OSError, AttributeError):
        return False
    if abi < ABI_WITH_SCOPES:
        return False
    handled = struct.pack("<QQQ", WRITES, TCP, SCOPES)
    ruleset = libc.syscall(CREATE_RULESET, handled, len(handled), 0)
    if ruleset < 0:
        return False
    null = os.open("/dev/null", os.O_PATH)
    allowed = struct.pack("<Qi", (1 << 1) | (1 << 14), null)
    is_done = bool(
        libc.syscall(ADD_RULE, ruleset, RULE_PATH_BENEATH, allowed, 0) == 0
        and libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
        and libc.syscall(RESTRICT_SELF, ruleset, 0) == 0
    )
    os.close(null)
    os.close(ruleset)
    return is_done
