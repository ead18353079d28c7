"""The strategy service with a CRITICAL error in it, once. Run as the service is run.

The error comes where memory is measured, while the file that BREAK_ONCE names is there.
"""

import os
from pathlib import Path

from schemas.errors import SluiceError
from services.strategy.__main__ import main
from services.strategy.isolated import children
from services.strategy.isolated.children import Children

measure = Children.measure


def breaks_once(self: Children) -> None:
    """Break if that was not done yet, else measure."""
    file = Path(os.environ["BREAK_ONCE"])
    if file.exists():
        file.unlink()
        raise SluiceError("LT-003", found="an engine that broke")
    measure(self)


if __name__ == "__main__":
    children.FIRST_MEASURE_S = 0.1
    Children.measure = breaks_once  # type: ignore[method-assign] # the fault put in
    main()
