"""Event names: the rule, the shipped table, and a table with mistakes."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from footfall.errors import SettingsError, UsageError
from footfall.event_names import EventNames, snake_name

CASES = {
    "Order Completed": "order_completed",
    "orderCompleted": "order_completed",
    "OrderCompleted": "order_completed",
    "order-completed": "order_completed",
    "  order .. completed!": "order_completed",
    "$pageview": "pageview",
    "Pop-up Email Viewed": "pop_up_email_viewed",
    "HTMLPageOpened": "html_page_opened",
    "step2Done": "step2_done",
    "gtm.dom": "gtm_dom",
    "Bestellung Größe": "bestellung_größe",
    "购买": "购买",
    "---": "",
    "": "",
}


@pytest.mark.parametrize(("sent", "expected"), CASES.items())
def test_the_rule(sent: str, expected: str) -> None:
    assert snake_name(sent) == expected


@given(st.text())
def test_the_rule_is_settled_after_once(sent: str) -> None:
    once = snake_name(sent)
    assert snake_name(once) == once
    assert once == once.strip("_")


@pytest.mark.parametrize(
    ("sent", "expected"),
    {
        "$pageview": "page_view", "page": "page_view", "screen": "screen_view", "purchase": "order_completed",
        "add_to_cart": "product_added", "begin_checkout": "checkout_started",
        "Product Added": "product_added",
        "Checkout Started": "checkout_started", "Order Completed": "order_completed",
        "Product Viewed": "product_viewed", "booking_started": "booking_started", "identify": "identify",
    }.items(),
)  # fmt: skip
def test_the_shipped_table(sent: str, expected: str) -> None:
    assert EventNames.load().normalise(sent) == expected


def test_a_users_table_replaces_the_shipped_one(tmp_path: Path) -> None:
    (tmp_path / "names.toml").write_text('[names]\nkauf = "order_completed"\n')
    names = EventNames.load(tmp_path / "names.toml")
    assert names.normalise("Kauf") == "order_completed"
    assert names.normalise("purchase") == "purchase"


def test_all_mistakes_are_listed(tmp_path: Path) -> None:
    path = tmp_path / "names.toml"
    path.write_text(
        'other = 1\n[names]\n"Add To Cart" = "product_added"\na = 5\nb = "c"\nc = "d"\n"" = "x"\n'
    )
    with pytest.raises(SettingsError) as caught:
        EventNames.load(path)
    text = "\n".join(caught.value.problems)
    assert len(caught.value.problems) == 5
    for part in ("'other'", "'add_to_cart'", "a must be given", "b = 'd'", "'a name'", str(path)):
        assert part in text


def test_what_is_no_table_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "names.toml"
    path.write_text("names = 5")
    with pytest.raises(SettingsError, match="must be a section"):
        EventNames.load(path)
    path.write_text("names = ")
    with pytest.raises(SettingsError, match="isn't TOML"):
        EventNames.load(path)
    with pytest.raises(UsageError, match="can't be read"):
        EventNames.load(tmp_path / "missing.toml")
