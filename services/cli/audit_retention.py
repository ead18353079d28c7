"""`sluice audit retention`: how long each kind of record is kept, and what that comes to."""

from services.cli.exits import Exit
from services.cli.locate import Place, data_dir_of
from services.cli.output import Output
from services.cli.streams import configured


def retention(*, place: Place | None = None) -> Exit:
    """Show how long each kind of record is kept; says where one is kept longer than asked for."""
    from services.recorder.policy import rules

    where = place or Place()
    output, found = Output(where.as_json), rules(configured(data_dir_of(where)))
    output.data([each._asdict() for each in found])
    columns = ("kind", "days asked", "days kept at most", "where")
    output.table(
        "", columns, [(each.kind, each.days, each.kept_days, each.where) for each in found]
    )
    for each in found:
        if each.why:
            output.line(f"{each.kind} is kept longer than asked for: {each.why}")
    return Exit.OK
