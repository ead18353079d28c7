"""One list of what secrets are called: `config show`, logs and texts all mask by it (A-05)."""

from typing import Any

import msgspec
import pytest

from schemas.masking import MASK, is_secret, masked, masked_value
from services.cli.config_command import masked as shown_in_config
from services.cli.config_command import shown_rows
from services.cli.config_layers import Layer, Origin, merge
from services.cli.config_resolve import Config
from services.cli.config_types import complaints
from services.runtime.log import mask_secrets

pytestmark = pytest.mark.req("A-05")

NAMES = (
    *("apikey", "api_key", "apiKey", "API-KEY", "passphrase", "password", "smtp_passwd", "pwd"),
    *("auth", "http_auth", "auth_key", "secret", "client_secret", "secret_key", "credentials"),
    *("token", "api_token", "authToken", "x-access-token", "private_key", "privateKey", "private"),
    *("signing_key", "nkey_seed", "seed_phrase", "mnemonic"),
    *("access_tokens", "refresh_tokens", "bearer_tokens", "auth-tokens", "accessTokens"),
    *("session_tokens", "wallet_seed", "master_seed", "user_seed", "account-seeds", "hdSeed"),
)
OTHERS = (
    *("gate_token", "max_tokens", "author", "authority", "authenticated", "oauthless", "privately"),
    *("seed", "key", "keys_dir", "passed", "store_key_file", "monkey", "symbols", "tick_size"),
    *("seeds", "tokens", "random_seed", "seeded"),
)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_called_like_a_secret_is_masked_everywhere(name: str) -> None:
    assert is_secret(name)
    assert shown_in_config(("live", "venues", name), "hunter2") == MASK
    assert mask_secrets(None, "", {"event": "x", name: "hunter2"}) == {"event": "x", name: MASK}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "form", ["{}=hunter2", "say {} = 'hunter2'", "{{'{}': 'hunter2', 'n': 1}}"]
)
def test_a_text_that_names_a_secret_shows_none(name: str, form: str) -> None:
    text = form.format(name)
    assert masked(text) == text.replace("hunter2", MASK)


@pytest.mark.parametrize("name", OTHERS)
def test_what_only_resembles_one_is_shown(name: str) -> None:
    assert shown_in_config(("gate", name), "hunter2") == "hunter2"
    assert masked(f"{name}=hunter2") == f"{name}=hunter2"
    assert masked_value(name, 7) == 7


def config_of(values: dict[str, Any]) -> Config:
    return Config(merged=merge([Layer(values, {}, Origin("file", "sluice.toml"))]), file=None)


def test_the_configuration_is_shown_without_what_lists_and_tables_hold() -> None:
    values: dict[str, object] = {
        "live": {
            "hooks": [
                {"url": "https://kim:hunter2@host/x", "apikey": "hunter2", "n": 1},
                ["Bearer hunter2", "token=hunter2", "plain", 2.5, True],
            ],
            "credentials": {"user": "kim", "word": "hunter2"},
            "passphrases": ["hunter2"],
            "password": "",
            "has_auth": True,
        }
    }
    assert {name: value for name, value, _ in shown_rows(config_of(values))} == {
        "live.hooks": [
            {"url": f"https://{MASK}@host/x", "apikey": MASK, "n": 1},
            [f"Bearer {MASK}", f"token={MASK}", "plain", 2.5, True],
        ],
        "live.credentials.user": MASK,
        "live.credentials.word": MASK,
        "live.passphrases": MASK,
        "live.password": "",
        "live.has_auth": True,
    }


def test_a_secret_of_a_wrong_kind_is_not_shown_by_the_complaint_either() -> None:
    class Mail(msgspec.Struct):
        password: str = ""
        port: int = 0

    found = complaints(("reports", "mail"), {"password": 4711, "port": "4711"}, Mail)
    assert [(each.path[-1], each.found) for each in found] == [
        ("password", MASK),
        ("port", '"4711"'),
    ]


def test_a_private_key_that_is_cut_short_is_masked_to_the_end() -> None:
    begun = "read -----BEGIN RSA PRIVATE KEY-----\nMC4CAQAw\nBQYDK2Vw"
    assert masked(begun) == f"read {MASK}"
    whole = f"{begun}\n-----END RSA PRIVATE KEY-----\nthe rest"
    assert masked(whole) == f"read {MASK}\nthe rest"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("access_tokens=['abc', 'def'] read", f"access_tokens={MASK} read"),
        ("{'refresh_tokens': ['abc', 'def']}", f"{{'refresh_tokens': {MASK}}}"),
        ('{"secrets":["abc","def"],"n":1}', f'{{"secrets":{MASK},"n":1}}'),
        (r"{\"secrets\": [\"a]bc\",\"def\"]}", rf"{{\"secrets\": {MASK}}}"),
        ("secrets=['abc', 'cut sh", f"secrets={MASK}"),
        ("password=[a]b", f"password={MASK}"),
    ],
)
def test_a_list_of_secrets_in_a_text_is_masked_to_its_end(text: str, shown: str) -> None:
    assert masked(text) == shown
    assert masked(shown) == shown


CHOSEN = {
    "gate": {
        "accounts": {"private-1": {"cash_min": "7"}, "secret": {"currency_values": {"TOKEN": "2"}}},
        "instruments": {"sim:TOKEN": {"order_quantity_max": "5"}},
    }
}


def test_what_a_person_called_a_row_names_no_secret() -> None:
    assert {name: value for name, value, _ in shown_rows(config_of(CHOSEN))} == {
        "gate.accounts.private-1.cash_min": "7",
        "gate.accounts.secret.currency_values.TOKEN": "2",
        "gate.instruments.sim:TOKEN.order_quantity_max": "5",
    }


def test_what_a_strategy_calls_its_parameters_does() -> None:
    values = {"strategy": {"parameters": {"token_ring": {"api_key": "hunter2", "fast": 3}}}}
    assert {name: value for name, value, _ in shown_rows(config_of(values))} == {
        "strategy.parameters.token_ring.api_key": MASK,
        "strategy.parameters.token_ring.fast": 3,
    }


def test_a_complaint_shows_what_is_wrong_in_a_row_of_any_name() -> None:
    class Row(msgspec.Struct):
        order_max: int = 0
        token: int = 0

    class Rows(msgspec.Struct):
        accounts: dict[str, Row] = {}

    rows = {"private-1": {"order_max": "many", "token": "many"}}
    assert [
        (each.path, each.found) for each in complaints(("gate",), {"accounts": rows}, Rows)
    ] == [
        (("gate", "accounts", "private-1", "order_max"), '"many"'),
        (("gate", "accounts", "private-1", "token"), MASK),
    ]


def test_the_id_of_an_instrument_names_no_secret() -> None:
    line = {"event": "x", "positions": {"dex:TOKEN": "5", "sim:PRIVATE-KEY": "3"}}
    assert mask_secrets(None, "", line) == line
    assert is_secret("basic auth: token"), "what is no id may be a secret's name"


@pytest.mark.parametrize(
    "text",
    ["fence token=17", "fencing_token=17, then", "secrets=3", "(private=True)", "auth = false."],
)
def test_a_small_number_or_a_yes_in_a_text_is_no_secret(text: str) -> None:
    assert masked(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("token=1234", f"token={MASK}"),
        ("password=17x", f"password={MASK}"),
        ("password=17,x", f"password={MASK}"),
        ("password=17.5.", f"password={MASK}."),
        ("password='17'", f"password='{MASK}'"),
        ("password=trueish", f"password={MASK}"),
    ],
)
def test_what_only_begins_like_a_small_number_is_masked(text: str, shown: str) -> None:
    assert masked(text) == shown
