"""Every strategy that comes with the system has a page that says what it does and how it fails."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from services.feed.config import ScannerConfig
from services.strategy.catalogue import BUILT_IN
from services.strategy.formulas_strategy import FormulaParameters

PAGES = Path(__file__).parents[2] / "ops" / "docs"
SETTINGS: dict[str, type[Any]] = {
    **{name: strategy.parameters_type for name, strategy in BUILT_IN.items()},
    "formulas": FormulaParameters,
    "scanner": ScannerConfig,
}
HEADINGS = ("## What it does", "## Parameters", "## Risks, and how it fails")


def shown(default: object) -> str:
    """Return a default as a page writes it."""
    if default is msgspec.NODEFAULT:
        return "required"
    if default is None or isinstance(default, bool):
        return str(default).lower()
    return f"`{default}`" if isinstance(default, str) else str(default)


@pytest.mark.req("S-17")
@pytest.mark.parametrize("name", SETTINGS)
def test_each_strategy_has_a_page_with_every_parameter_its_unit_and_its_default(name: str) -> None:
    page = (PAGES / f"{name}.md").read_text()
    for heading in HEADINGS:
        assert f"\n{heading}" in page, heading
    rows = {
        cells[1].strip(" `"): [each.strip() for each in cells[2:-1]]
        for line in page.splitlines()
        if line.startswith("| `") and len(cells := line.split("|")) == 6
    }
    for field in msgspec.structs.fields(SETTINGS[name]):
        unit, default, *_ = rows[field.encode_name]
        assert unit, field.encode_name
        wanted = shown(field.default)
        assert default == wanted or (wanted, default) == ("none", "none"), field.encode_name


def test_no_page_is_of_a_parameter_that_is_gone() -> None:
    for name, settings in SETTINGS.items():
        known = {field.encode_name for field in msgspec.structs.fields(settings)}
        after = (PAGES / f"{name}.md").read_text().partition("## Parameters")[2]
        table = after.partition("## Risks")[0]
        named = {
            line.split("|")[1].strip(" `") for line in table.splitlines() if line.startswith("| `")
        }
        assert named == known, name
