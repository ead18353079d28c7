"""The checks of the gate: one file a family, one small function a check; see `gate.table`."""
