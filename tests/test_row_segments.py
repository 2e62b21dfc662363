"""Segments of numbered rows: merged as they come, swept, and pickled once where they stay."""

import pickle
from collections.abc import Sequence
from functools import partial

import numpy as np
import polars as pl
import pytest

from footfall import frame_pickling, row_segments
from footfall.frame_pickling import pickle_frames_by_arrow
from footfall.row_frames import join_rows
from footfall.row_segments import RowSegment, append_segment

pickle_frames_by_arrow()
_join = partial(join_rows, rechunk=True)


def segment(*numbers: int) -> RowSegment:
    rows = pl.DataFrame(
        {"visitor_id": [f"v{number}" for number in numbers]}, schema={"visitor_id": pl.String()}
    )
    return RowSegment(np.array(numbers, np.int64), rows)


def content(segments: Sequence[RowSegment]) -> list[tuple[list[int], list[str]]]:
    return [(numbers.tolist(), rows["visitor_id"].to_list()) for numbers, rows in segments]


def test_segments_merge_while_they_are_about_as_large() -> None:
    segments = [segment(*range(8))]
    append_segment(segments, segment(8, 9), _join)
    assert [each.numbers.size for each in segments] == [8, 2]
    append_segment(segments, segment(10), _join)
    append_segment(segments, segment(11), _join)
    assert [each.numbers.size for each in segments] == [8, 4]
    append_segment(segments, segment(12, 13, 14), _join)
    assert content(segments) == [(list(range(15)), [f"v{number}" for number in range(15)])]


def test_what_is_swept_is_gone() -> None:
    whole = segment(3, 5, 8)
    assert whole.kept(np.array([3, 4, 5, 8])) is whole
    assert whole.kept(np.array([4, 9])) is None
    part = whole.kept(np.array([5, 6]))
    assert part is not None
    assert content([part]) == [([5], ["v5"])]


@pytest.fixture
def packed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The heights of the frames that are packed from now on."""
    heights: list[int] = []
    pack = frame_pickling.pack_frame

    def counted(frame: pl.DataFrame) -> bytes:
        heights.append(frame.height)
        return pack(frame)

    monkeypatch.setattr(frame_pickling, "pack_frame", counted)
    return heights


def test_a_segment_is_packed_once_and_comes_back(packed: list[int]) -> None:
    whole = segment(3, 5, 8)
    first, second = pickle.dumps(whole, 5), pickle.dumps(whole, 5)
    assert first == second
    assert packed == [3]
    back = pickle.loads(first)
    assert content([back]) == content([whole])
    part = back.kept(np.array([8]))
    assert content([pickle.loads(pickle.dumps(part, 5))]) == [([8], ["v8"])]
    assert packed == [3, 1]


def test_the_packed_form_of_a_large_segment_is_not_kept(
    packed: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_segments, "_MOST_REMEMBERED", 2)
    whole = segment(3, 5, 8)
    assert pickle.dumps(whole, 5) == pickle.dumps(whole, 5)
    assert packed == [3, 3]
