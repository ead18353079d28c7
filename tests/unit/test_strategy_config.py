"""What the strategy service may be told: a value that would hide a fault is refused (S-11)."""

import pytest

from schemas.errors import FieldError
from services.cli.config_resolve import ConfigError, load_config


@pytest.mark.req("S-11", "S-04")
@pytest.mark.parametrize("name", ["answer_ms_max", "load_ms_max"])
def test_a_process_that_spins_is_found_long_before_health_would_say_so(name: str) -> None:
    load_config(settings=[f"strategy.{name}=60000"], environment={})
    with pytest.raises(ConfigError) as caught:
        load_config(settings=[f"strategy.{name}=60001"], environment={})
    assert caught.value.errors == (
        FieldError(
            path=f"command line --set strategy.{name}: strategy.{name}",
            found='"60001"',
            wanted="a whole number, above 0, at most 60000",
        ),
    )
