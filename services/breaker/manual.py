"""The breakers' part of the manual, drawn from their table: formulas, units, levels, resets."""

from collections.abc import Sequence

from services.breaker.levels import in_order
from services.breaker.profile import ProfileName, profile_named
from services.breaker.states import TRANSITIONS
from services.breaker.table import BREAKERS

BEGIN = "<!-- drawn from services/breaker/table.py: do not edit -->"
END = "<!-- end of what is drawn -->"


def breakers_markdown() -> str:
    """Return one table of all breakers: what each measures, in what unit, and what a reset does."""
    rows = [
        (
            f"`{row.about.name}`",
            row.about.formula,
            row.about.unit,
            *(_levels(profile, row.about.name) for profile in ProfileName),
            row.about.on_reset,
        )
        for row in BREAKERS
    ]
    return _table(("breaker", "value", "unit", *map(str, ProfileName), "after a reset"), rows)


def states_markdown() -> str:
    """Return the state word's transitions as a Mermaid diagram (B-06)."""
    lines = [
        f"    {before} --> {after}: {trigger.name.lower()}"
        for (before, trigger), after in TRANSITIONS.items()
    ]
    return "\n".join(["```mermaid", "stateDiagram-v2", "    [*] --> NORMAL", *lines, "```"])


def drawn() -> str:
    """Return all that a manual takes from the tables, between its two marks."""
    return f"{BEGIN}\n{breakers_markdown()}\n\n{states_markdown()}\n{END}"


def _levels(profile: ProfileName, name: str) -> str:
    about = next(row.about for row in BREAKERS if row.about.name == name)
    levels = in_order(profile_named(profile).levels[name], is_floor=about.is_floor)
    said = [f"{level.response} {about.level_text(level.at)}" for level in levels]
    return ", ".join(said) or "none"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
