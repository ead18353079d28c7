"""An instrument whose steps or multiplier are nothing would void every limit on value."""

from pathlib import Path

import pytest

from schemas.bounds import WANTED_NUMBER
from schemas.errors import FieldError
from services.cli.config_resolve import ConfigError, load_config

pytestmark = pytest.mark.req("G-01", "S-14")


@pytest.mark.parametrize("size", ["0", "-1", "NaN", "Infinity"])
@pytest.mark.parametrize("name", ["tick_size", "lot_size", "multiplier"])
def test_it_is_refused_where_it_stands(tmp_path: Path, name: str, size: str) -> None:
    sizes = {"tick_size": "0.01", "lot_size": "1", "multiplier": "1", name: size}
    rows = ["[[instruments]]", 'id = "sim:X"', 'asset_class = "spot"', 'currency = "USD"']
    file = tmp_path / "sluice.toml"
    file.write_text("\n".join([*rows, *(f'{key} = "{value}"' for key, value in sizes.items())]))
    with pytest.raises(ConfigError) as caught:
        load_config(file, environment={})
    [error] = caught.value.errors
    assert isinstance(error, FieldError)
    assert error.path.endswith(f": instruments.0.{name}")
    is_number = size in ("0", "-1")
    wanted = (size, "a number above 0") if is_number else (f'"{size}"', WANTED_NUMBER)
    assert (error.found, error.wanted) == wanted
