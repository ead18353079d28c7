"""What is masked is gone, and what holds no secret stays as it is (A-05)."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.masking import MASK, masked

pytestmark = pytest.mark.req("A-05")
SIGNS = "abcXYZ019 .,:;/@-_()[]{}'\"\n"
HARMLESS = st.text(SIGNS, max_size=60).filter(lambda text: "://" not in text)
"""Signs of every kind but an equals sign: no name of a secret is followed by one."""

ORDINARY = st.sampled_from(
    ["token bucket", "pass: 3 of 4", "password: ask", "gate_token=7", "n=3", "at https://h:80/a@2"]
)
SECRETS = st.text("abcXYZ019!$%+/@:#?-_.", min_size=1, max_size=30).map(lambda text: f"q{text}z")
NAMES = st.sampled_from(
    ["token=", "apikey=", "api_key=", "passphrase=", "auth_token=", "password=", "SMTP_PASSWORD = "]
)


@given(HARMLESS, ORDINARY, HARMLESS)
def test_text_without_a_secret_is_unchanged(head: str, middle: str, tail: str) -> None:
    text = f"{head} {middle} {tail}"
    assert masked(text) == text


@given(HARMLESS, NAMES, SECRETS, HARMLESS)
def test_a_secret_that_is_named_is_gone_and_the_rest_stays(
    head: str, name: str, secret: str, tail: str
) -> None:
    assert masked(f"{head} {name}{secret} {tail}") == f"{head} {name}{MASK} {tail}"


@given(
    HARMLESS,
    st.sampled_from(["nats", "tls", "postgresql", "smtp", "https"]),
    SECRETS.filter(lambda text: "://" not in text),
)
def test_a_password_in_an_address_is_gone_whatever_signs_it_has(
    head: str, scheme: str, secret: str
) -> None:
    text = f"{head} {scheme}://kim:{secret}@host:4222 tail"
    assert masked(text) == f"{head} {scheme}://{MASK}@host:4222 tail"


@given(HARMLESS, st.from_regex(re.compile(r"T\w{8}/B\w{8}/\w{24}", re.ASCII), fullmatch=True))
def test_the_path_of_a_webhook_is_gone(head: str, path: str) -> None:
    text = f"{head} https://hooks.slack.com/services/{path} tail"
    assert masked(text) == f"{head} https://hooks.slack.com/services/{MASK} tail"


@given(HARMLESS, NAMES, SECRETS, HARMLESS)
def test_to_mask_again_changes_nothing(head: str, name: str, secret: str, tail: str) -> None:
    once = masked(f"{head} {name}{secret} nats://kim:{secret}@host {tail}")
    assert masked(once) == once
