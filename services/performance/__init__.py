"""How well it did: from executions, marks, funding and fees to figures. Pure, and no service."""
