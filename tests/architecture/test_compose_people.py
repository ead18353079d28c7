"""compose.yaml: what a person's containers are handed, so that documented commands work there."""

import re
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT

ANCHOR_DIRS = "SLUICE_RECORDER__ANCHOR_DIRS"


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    return found


def _mounts(service: dict[str, Any]) -> dict[str, str]:
    """Return what is mounted by where; what ends in `:ro` cannot be written to."""
    split = re.compile(r"^(.+?):(/[^:]*)(:ro)?$")
    found = (split.match(each) for each in service["volumes"])
    return {each[2]: each[1] + (each[3] or "") for each in found if each is not None}


@pytest.mark.req("R-01")
@pytest.mark.parametrize("name", ["operator", "keeper"])
def test_who_verifies_the_record_is_handed_the_anchors(services: dict[str, Any], name: str) -> None:
    recorded, person = services["init"]["environment"][ANCHOR_DIRS], services[name]
    assert person["environment"][ANCHOR_DIRS] == recorded
    assert _mounts(person)[recorded].startswith("anchors")
    assert _mounts(services["recorder"])[recorded] == "anchors"


@pytest.mark.req("A-01")
def test_an_operators_container_can_write_nothing(services: dict[str, Any]) -> None:
    mounts = _mounts(services["operator"])
    assert [where for where, what in mounts.items() if not what.endswith(":ro")] == []
    assert mounts["/data"] == "data:ro"


@pytest.mark.req("R-07")
def test_backups_have_a_container_that_can_write_them_outside_the_data(
    services: dict[str, Any],
) -> None:
    mounts = _mounts(services["keeper"])
    assert (mounts["/data"], mounts["/backups"]) == ("data", "backups")
    assert mounts["/keys"] == "key-operator:ro"


@pytest.mark.req("S-10")
def test_own_strategies_are_where_they_are_checked_run_and_tried(services: dict[str, Any]) -> None:
    found = [_mounts(services[name])["/strategies"] for name in ("init", "strategy", "keeper")]
    assert found == ["${SLUICE_STRATEGIES:-./ops/docker}:ro"] * 3


def test_each_volume_is_mounted_where_the_image_has_a_folder_of_our_user(
    services: dict[str, Any],
) -> None:
    text = (ROOT / "ops" / "docker" / "Dockerfile").read_text()
    made = set(re.findall(r"mkdir -p ((?:/\w+ )+)", text)[0].split())
    owned = set(re.findall(r"chown -R sluice:sluice ((?:/\w+ ?)+)", text)[0].split())
    ours = [each for name, each in services.items() if each["user"] == "10001:10001"]
    used = {
        where
        for each in ours
        for where, what in _mounts(each).items()
        if not what.startswith(("$", "./")) and not where.startswith("/split/")
    }
    assert used <= made
    assert used <= owned  # else a new volume would be root's
