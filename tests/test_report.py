from footfall.digest import Digest
from footfall.report import Report, Tally
from footfall.run_messages import PartitionDone, ShardDone


def _partition(name: str, *, high: int = 1) -> PartitionDone:
    return PartitionDone(name, 10, 2, 3, 1, (high, 7), {"not_json": 2, "nul": 1})


def _shard(name: str, *, low: int = 1) -> ShardDone:
    return ShardDone(name, 4, 1, 3, 1, {"p": 2}, {"p": 1}, 7, 5, 3, 8, 2, {"value": 5}, (9, low))


def _report(tally: Tally) -> Report:
    return tally.report(
        pattern_versions={"p": "v1", "a": "v2"},
        workers=2,
        seconds=2.0,
        leg_records=30,
        peak_rss_mb=1.25,
        restarts=1,
    )


def test_partitions_and_shards_add_up() -> None:
    tally = Tally({"x": _partition("x"), "y": _partition("y")}, {"s": _shard("s"), "t": _shard("t")})
    report = _report(tally)
    assert (report.records, report.events, report.duplicates, report.dead, report.late) == (20, 12, 2, 6, 4)
    assert report.dead_reasons == {"not_json": 4, "nul": 2}
    assert report.matches == {"a": 0, "p": 4}, "a pattern without matches is there, too"
    assert report.matches_at_end == {"a": 0, "p": 2}
    assert (report.pending, report.timed_out, report.dropped_partials) == (14, 10, 6)
    assert (report.early, report.retracted) == (16, 4)
    assert report.session_sums == {"value": 10}
    assert (report.events_per_second, report.restarts, report.partitions, report.shards) == (15.0, 1, 2, 2)
    assert Report(**report.to_json()) == report


def test_the_answer_is_the_digest_over_all_of_them() -> None:
    top = 2**64 - 1
    tally = Tally({"x": _partition("x", high=top)}, {"s": _shard("s", low=top), "t": _shard("t", low=5)})
    whole = Digest()
    for lanes in ((top, 7), (9, top), (9, 5)):
        whole.merge(Digest(*lanes))
    assert _report(tally).answer == str(whole)
    assert _report(Tally()).answer == str(Digest())


def test_who_has_not_had_the_last_word_is_missing_and_a_word_again_replaces() -> None:
    tally = Tally()
    assert tally.missing(["x"], ["s", "t"]) == ["x", "s", "t"]
    tally.shards["s"] = _shard("s")
    tally.partitions["x"] = _partition("x")
    assert tally.missing(["x"], ["s", "t"]) == ["t"]
    tally.partitions["x"] = _partition("x")
    assert _report(tally).records == 10
