"""The log: one JSON object a line on standard error, the same from every process.

Every line has `at` (UTC), `level`, `event`, `service` and `boot_id`. Whatever looks like a secret,
by its name or by its form, is masked before it is written; so is what else leaves a process as
text that nobody chose word by word: an alert made of an exception, the last words of a process.
"""

import logging
import os
from collections.abc import Callable, Mapping, MutableMapping
from pathlib import Path
from typing import Any, BinaryIO, cast

import orjson
import structlog

from schemas.errors import UserError
from schemas.masking import masked_value
from services.runtime.log_file import LOG_COPY, LOG_FILE, DailyFile, OwnFile

LEVEL_VARIABLES = ("SLUICE_LOG_LEVEL", "BASIS_LOG_LEVEL")
LEVELS = {"DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40, "CRITICAL": 50}
Line = MutableMapping[str, Any]


def configure(service: str, boot_id: str) -> None:
    """Send every line of this process, ours and the libraries', to standard error.

    Raises:
        UserError: the level that the environment asks for is none.
    """
    structlog.configure(
        processors=_processors(service, boot_id),
        wrapper_class=structlog.make_filtering_bound_logger(_level_from(os.environ)),
        logger_factory=structlog.BytesLoggerFactory(cast(BinaryIO, _output())),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(handlers=[_Bridge()], level=logging.INFO, force=True)


def _output() -> DailyFile:
    """Return standard error, turned daily where it is a file; what we start does not inherit it."""
    named, copied = os.environ.pop(LOG_FILE, ""), os.environ.pop(LOG_COPY, "")
    copy = OwnFile(Path(copied)) if copied else None
    return DailyFile(Path(named) if named else None, copy)


def logger() -> Any:
    """Return the logger: `logger().info("what happened", found=1)`."""
    return structlog.get_logger()


def file_logger(service: str, boot_id: str, path: Path) -> Any:
    """Return a logger into a file of its own, in the same form; standard error is a person's."""
    return structlog.wrap_logger(
        structlog.BytesLogger(cast(BinaryIO, OwnFile(path))),
        processors=_processors(service, boot_id),
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS["INFO"]),
    )


def mask_secrets(_logger: object, _method: str, line: Line) -> Line:
    """Return the line with everything that looks like a secret masked, at any depth."""
    return masked_fields(line)


def masked_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields with everything that looks like a secret masked, at any depth."""
    return {name: masked_value(name, value) for name, value in fields.items()}


def _processors(service: str, boot_id: str) -> list[Callable[..., Any]]:
    return [
        _naming(service, boot_id),
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        structlog.processors.format_exc_info,
        mask_secrets,
        structlog.processors.JSONRenderer(serializer=_json),
    ]


def _naming(service: str, boot_id: str) -> Callable[[object, str, Line], Line]:
    """Return what names the process in each line, whichever thread says it."""
    names = {"service": service, "boot_id": boot_id}
    return lambda _logger, _method, line: {**names, **line}


def _json(line: object, **_options: object) -> bytes:
    return orjson.dumps(line, default=str, option=orjson.OPT_NON_STR_KEYS)


def _level_from(environment: Mapping[str, str]) -> int:
    for variable in LEVEL_VARIABLES:
        found = environment.get(variable, "").upper()
        if found and found not in LEVELS:
            raise UserError("SLU-100", path=variable, found=found, wanted=", ".join(LEVELS))
        if found:
            return LEVELS[found]
    return LEVELS["INFO"]


class _Bridge(logging.Handler):
    """Takes what libraries say through the standard `logging`, and says it our way."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record of a library as a line of ours."""
        level = record.levelname.lower()
        say = getattr(structlog.get_logger(), level if level.upper() in LEVELS else "info")
        say(record.getMessage(), library=record.name, exc_info=record.exc_info)
