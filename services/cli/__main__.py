"""`sluice`: run one command, and end with a code that says how it went."""

import contextlib
import io
import sys
import traceback

from schemas.errors import SluiceError
from schemas.masking import masked
from services.cli.exits import Exit, exit_of

INTERRUPTED = 130


def main() -> None:
    """Run the command that the arguments name."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # no word is worth a command that ends half done
        sys.stdout.reconfigure(errors="backslashreplace")
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Return the exit code of one command; a user's mistake never shows a traceback."""
    from services.cli.halt_words import halt_in_front, readable

    arguments = halt_in_front([readable(each) for each in arguments])
    try:
        return _run(arguments)
    except SluiceError as error:
        _print_error(error, is_json="--json" in arguments)
        return exit_of(error)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # `sluice watch | head`
        sys.stderr.close()
        return Exit.OK
    except OSError as error:
        print(f"sluice: {error.filename or ''}: {error.strerror or error}", file=sys.stderr)
        return Exit.FAILED
    except Exception as error:
        traceback.print_exc()
        print(f"sluice: this is a fault of sluice, not yours: {error!r}", file=sys.stderr)
        return Exit.FAILED


def _run(arguments: list[str]) -> int:
    from cyclopts import CycloptsError

    from services.cli.app import make_app

    app = make_app(arguments[0] if arguments else "")
    try:
        found = app(
            arguments or ["--help"],
            exit_on_error=False,
            print_error=False,
            result_action="return_value",
        )
    except CycloptsError as error:
        if arguments[0] == "halt":
            return _halt_anyway(arguments[1:], error)
        _print_wrong(arguments, error)
        return Exit.BAD_INPUT
    return int(found) if isinstance(found, int) else Exit.OK


def _halt_anyway(arguments: list[str], error: Exception) -> int:
    """Halt although the arguments make no sense: whoever typed `halt` means it.

    Which system is meant still counts. Where that is what is missing, the one that is found is
    halted, and the code says that this may not be all.
    """
    from services.cli.halt import halt
    from services.cli.halt_words import meant
    from services.cli.locate import data_dir_of

    found = meant(arguments)
    where = found.place.nats_url or data_dir_of(found.place)
    said = f"sluice: halting all of the system at {where} all the same; {_plain(error)}"
    with contextlib.suppress(OSError):  # nobody reads it: no cause not to halt
        print(masked(said), file=sys.stderr)
    code = halt(*found.words, operator=found.operator, place=found.place)
    if found.lost:
        print(f"sluice: another one meant? cannot use {', '.join(found.lost)}", file=sys.stderr)
    return code or (Exit.BAD_INPUT if found.lost else Exit.OK)


def _print_wrong(arguments: list[str], error: Exception) -> None:
    """Print that the command line makes no sense, as text or for programs."""
    from services.cli.app import COMMANDS
    from services.cli.output import to_json

    names = [name for name, _, _ in COMMANDS]
    command = " ".join(["sluice", *(each for each in arguments[:1] if each in names)])
    said, after = f"SLU-103 {_plain(error)}", f"{command} --help"
    if "--json" in arguments:
        document = {"code": "SLU-103", "message": said, "fields": {}, "errors": ()}
        print(to_json({"error": document}), file=sys.stderr)
    else:
        print(f"sluice: {said}\n  next step: {after}", file=sys.stderr)


def _plain(error: Exception) -> str:
    from cyclopts import UnusedCliTokensError

    if isinstance(error, UnusedCliTokensError):  # "tokens" are a word of programmers
        found = ", ".join(map(repr, error.unused_tokens or ()))
        return f"found {found}, wanted no further argument"
    return " ".join(str(error).split())


def _print_error(error: SluiceError, *, is_json: bool) -> None:
    """Print what is wrong on standard error; standard output stays empty for programs."""
    from services.cli.output import error_text, to_json

    fields = getattr(error, "errors", ())
    if is_json:
        document = {"code": error.code, "message": str(error), "fields": error.fields}
        print(to_json({"error": document | {"errors": fields}}), file=sys.stderr)
        return
    if not fields:
        print(error_text(error), file=sys.stderr)
        return
    print(f"sluice: {error.code} {error.entry.message}:", file=sys.stderr)
    for each in fields:
        print(masked(f"  {each.path}: found {each.found}; wanted {each.wanted}"), file=sys.stderr)
    print(f"  next step: {error.entry.resolution}", file=sys.stderr)


if __name__ == "__main__":
    main()
