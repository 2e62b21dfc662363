import hashlib
import hmac
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from footfall.errors import UsageError, WebhookSignatureError
from footfall.webhook_signature import (
    SIGNATURE_HEADER,
    TIMESTAMP_HEADER,
    read_secret,
    sign,
    verify_webhook,
)

SECRET = b"0123456789abcdef"
NOW = 1_760_000_000


def headers(body: bytes, *, secret: bytes = SECRET, timestamp: int = NOW) -> dict[str, str]:
    return {TIMESTAMP_HEADER: str(timestamp), SIGNATURE_HEADER: sign(secret, timestamp, body)}


def test_the_signature_is_what_the_documentation_says() -> None:
    body = '{"rule":"naïve"}'.encode()
    signed = hmac.new(SECRET, str(NOW).encode() + b"." + body, hashlib.sha256).hexdigest()
    assert sign(SECRET, NOW, body) == "sha256=" + signed


@given(st.binary(), st.binary(min_size=16), st.integers(0, 10**11))
def test_what_was_signed_is_verified(body: bytes, secret: bytes, timestamp: int) -> None:
    verify_webhook(secret, headers(body, secret=secret, timestamp=timestamp), body, now=timestamp)


@given(st.binary(min_size=1), st.integers(min_value=0), st.integers(1, 255))
def test_any_change_of_the_body_is_noticed(body: bytes, place: int, change: int) -> None:
    changed = bytearray(body)
    changed[place % len(body)] ^= change
    with pytest.raises(WebhookSignatureError, match="is another"):
        verify_webhook(SECRET, headers(body), bytes(changed), now=NOW)


def test_header_names_may_be_in_any_case() -> None:
    given = {name.lower(): value for name, value in headers(b"x").items()}
    verify_webhook(SECRET, given, b"x", now=NOW)


def test_another_secret_is_noticed() -> None:
    with pytest.raises(WebhookSignatureError, match="is another"):
        verify_webhook(b"fedcba9876543210", headers(b"x"), b"x", now=NOW)


def test_another_timestamp_is_noticed() -> None:
    given = headers(b"x") | {TIMESTAMP_HEADER: str(NOW + 1)}
    with pytest.raises(WebhookSignatureError, match="is another"):
        verify_webhook(SECRET, given, b"x", now=NOW)


@pytest.mark.parametrize("away", [-301, 301])
def test_an_old_request_is_refused(away: int) -> None:
    with pytest.raises(WebhookSignatureError, match="301 s from now, and 300 s are allowed"):
        verify_webhook(SECRET, headers(b"x"), b"x", now=NOW + away)
    verify_webhook(SECRET, headers(b"x"), b"x", now=NOW + away, tolerance=301)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {TIMESTAMP_HEADER: str(NOW)},
        {SIGNATURE_HEADER: sign(SECRET, NOW, b"x")},
        {TIMESTAMP_HEADER: "-5", SIGNATURE_HEADER: "sha256=0"},
        {TIMESTAMP_HEADER: "١٢", SIGNATURE_HEADER: "sha256=0"},
        {TIMESTAMP_HEADER: "9" * 5000, SIGNATURE_HEADER: "sha256=0"},
    ],
)
def test_a_request_without_a_signature_is_refused(given: dict[str, str]) -> None:
    with pytest.raises(WebhookSignatureError, match="isn't signed"):
        verify_webhook(SECRET, given, b"x", now=NOW)


@pytest.mark.parametrize("signature", ["é", "\udce9"])
def test_a_signature_that_is_not_even_text_is_refused(signature: str) -> None:
    with pytest.raises(WebhookSignatureError, match="is another"):
        verify_webhook(SECRET, {TIMESTAMP_HEADER: str(NOW), SIGNATURE_HEADER: signature}, b"x", now=NOW)


def test_the_secret_is_read_without_its_line_end(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(SECRET + b"\n")
    assert read_secret(tmp_path / "secret") == SECRET


def test_a_short_secret_is_refused_and_not_shown(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hunter2")
    with pytest.raises(UsageError, match="has 7 bytes; it needs 16 or more") as caught:
        read_secret(tmp_path / "secret")
    assert "hunter2" not in str(caught.value)
    with pytest.raises(UsageError, match="can't be read: No such file"):
        read_secret(tmp_path / "none")
