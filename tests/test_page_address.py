"""Paths and campaigns from addresses."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from footfall.columns import Spans, path_spans
from footfall.page_address import page_campaign, page_path


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("https://a.example/p/q?x=/z#y", "/p/q"), ("https://a.example", "/"), ("https://a.example?x", "/"),
        ("/p?q", "/p"), ("p/q", "p/q"), ("//h/p", "/p"), ("#f", None), ("?q", None), ("mailto:x", "x"),
        ("://x", "://x"),
        ("https://a.example/:8/x", "/:8/x"), ("https:", None), ("https:// /", "/"),
    ],
)  # fmt: skip
def test_paths(url: str, path: str | None) -> None:
    assert page_path(url) == path


@given(st.lists(st.text(alphabet=":/?#a é\t", min_size=1, max_size=9), min_size=1, max_size=8))
def test_the_compiled_rule_is_the_same(urls: list[str]) -> None:
    parts = [url.encode() for url in urls]
    lengths = np.array([len(part) for part in parts], np.int32)
    starts = (np.cumsum(lengths) - lengths).astype(np.int32)
    data = b"".join(parts)
    found = path_spans(np.frombuffer(data, np.uint8), Spans(starts, lengths, np.zeros(len(urls), np.bool_)))
    paths = [
        None if length < 0 else "/" if start < 0 else data[start : start + length].decode()
        for start, length in zip(found.starts.tolist(), found.lengths.tolist(), strict=True)
    ]
    assert paths == [page_path(url) for url in urls]


def test_the_first_of_a_campaign_field_counts() -> None:
    assert page_campaign("/p?utm_source=&utm_source=a+b&utm_source=c&utm_id=5#?utm_term=x") == {
        "utm_source": "a b"
    }
    assert page_campaign("/p?utm_source=%00") == {}
    assert page_campaign("/p") == {}
