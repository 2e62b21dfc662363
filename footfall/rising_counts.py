"""Counts that never go down while their sources are started again.

A source is a partition, a shard or a worker's sink. Two kinds of counts come from one. Totals of the whole run are
part of the recovered state: after a restart they fall back to the last snapshot and come again, so the highest seen
stands until it is passed. Counts since a worker's start begin at zero with each worker, so they are added up.
"""

from collections.abc import Hashable, Mapping

Key = tuple[str, ...]


class RisingCounts:
    """Counts by key, over all sources. `totals` never fall; `fresh` is what of them came since this object began.

    With `resumed`, what a source says first was counted before this process began, and isn't fresh.
    """

    def __init__(self, *, resumed: bool = False) -> None:
        self.totals: dict[Key, int] = {}
        self.fresh: dict[Key, int] = {}
        self._resumed = resumed
        self._highest: dict[Hashable, dict[Key, int]] = {}
        self._since: dict[Hashable, dict[Key, int]] = {}

    def reach(self, source: Hashable, values: Mapping[Key, int]) -> dict[Key, int]:
        """Take totals of the whole run; by how much they have risen, without zeros and a resumed run's first words."""
        known = source in self._highest
        highest = self._highest.setdefault(source, {})
        risen: dict[Key, int] = {}
        for key, value in values.items():
            before = highest.get(key, 0)
            if value > before:
                highest[key] = value
                self.totals[key] = self.totals.get(key, 0) + value - before
                if known or not self._resumed:
                    risen[key] = value - before
            else:
                self.totals.setdefault(key, 0)
        self._add_fresh(risen)
        return risen

    def count_on(self, source: Hashable, values: Mapping[Key, int]) -> dict[Key, int]:
        """Take counts since the source's start; by how much they have risen. One that has fallen began again."""
        since = self._since.setdefault(source, {})
        risen: dict[Key, int] = {}
        for key, value in values.items():
            before = since.get(key, 0)
            more = value - before if value >= before else value
            since[key] = value
            self.totals[key] = self.totals.get(key, 0) + more
            if more:
                risen[key] = more
        self._add_fresh(risen)
        return risen

    def begin_again(self, source: Hashable) -> None:
        """The source has been started anew: what `count_on` takes of it next begins at zero."""
        self._since.pop(source, None)

    def total(self, *key: str) -> int:
        """The count of a key, 0 if there is none."""
        return self.totals.get(key, 0)

    def by_label(self, name: str) -> dict[str, int]:
        """Label -> count, of the keys (name, label), in the labels' order."""
        found = {key[1]: count for key, count in self.totals.items() if len(key) == 2 and key[0] == name}
        return dict(sorted(found.items()))

    def _add_fresh(self, risen: Mapping[Key, int]) -> None:
        for key, more in risen.items():
            self.fresh[key] = self.fresh.get(key, 0) + more
