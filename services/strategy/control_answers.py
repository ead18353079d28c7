"""What this service answers to the control protocol."""

from schemas.base import BootId
from schemas.control import HaltAcknowledged, Prepared
from services.strategy.alerts import SERVICE
from services.strategy.starts import Checked


def prepared(
    start_id: str, checked: Checked, boot_id: BootId, halts: int, epoch_max: int, now_ns: int
) -> Prepared:
    """Return whether a start may be, what speaks against it, and the session it would make."""
    created, errors = checked
    return Prepared(
        at_ns=now_ns,
        start_id=start_id,
        component=SERVICE,
        boot_id=boot_id,
        limits_hash="",
        halts=halts,
        epoch_max=epoch_max,
        is_reconciled=True,
        errors=tuple(errors),
        session=None if created is None else created.session,
    )


def acknowledged(boot_id: BootId, halts: int, epoch: int, now_ns: int) -> HaltAcknowledged:
    """Return that no strategy raises a signal of this epoch any more."""
    return HaltAcknowledged(
        at_ns=now_ns, component=SERVICE, boot_id=boot_id, halts=halts, fence=epoch
    )
