"""What the shipped patterns that reach beyond one visit must find: each visitor's visits, one after the other.

Held are the quotes of a day, the price checks of a week, and each visitor's last event for 30 days.
"""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from heapq import heappop, heappush

from footfall.simulate_seen import Plant, Seen, plant

_DAY = 86_400_000
_QUOTE_VALID = 1 * _DAY
_CHECKS, _CHECKS_WITHIN = 3, 7 * _DAY
_INACTIVE_AFTER = 30 * _DAY


class LongPlants:
    """The plants of patterns that look at several visits of a visitor.

    `add` takes the visits, those of a visitor in the order of their times; `certain` gives what no later visit
    can change.
    """

    def __init__(self) -> None:
        self._found: list[tuple[str, Plant]] = []
        self._quotes: dict[str, dict[str, Plant]] = {}
        self._quotes_due: list[tuple[int, str, str]] = []
        self._checks: OrderedDict[tuple[str, str], list[Seen]] = OrderedDict()
        self._latest: OrderedDict[str, Seen] = OrderedDict()

    def add(self, visitor_id: str, visit: Sequence[Seen]) -> None:
        """Take a visit, its events in the order of their times; at least one."""
        for seen in visit:
            match seen.event:
                case "quote_viewed":
                    self._view_quote(visitor_id, seen)
                case "booking_completed":
                    self._book(visitor_id, seen.at)
                case "price_checked" if seen.path is not None:
                    self._check_price(visitor_id, seen.path, seen)
        for seen in (visit[0], visit[-1]):
            self._be_active(visitor_id, seen)

    def certain(self, watermark: int, *, settled_to: int | None = None) -> Iterator[tuple[str, Plant]]:
        """What is certain by now, each once: visitor and plant.

        Args:
            watermark: event time behind which nothing more comes, ms.
            settled_to: given at the end of the input, where the quotes that wait are released, and those who were
                inactive for long enough by then.
        """
        last = settled_to is not None
        yield from self._found
        self._found = []
        while self._quotes_due and (last or self._quotes_due[0][0] <= watermark):
            _, visitor_id, message_id = heappop(self._quotes_due)
            quote = self._quotes.get(visitor_id, {}).pop(message_id, None)
            if quote is not None:
                yield visitor_id, quote
            if not self._quotes.get(visitor_id, True):
                del self._quotes[visitor_id]
        while self._checks and self._checks[next(iter(self._checks))][-1].at < watermark - _CHECKS_WITHIN:
            self._checks.popitem(last=False)
        # Visits end in another order than they begin, so the oldest may hide one that is due: till the end.
        limit = watermark if settled_to is None else settled_to
        for visitor_id in [*self._latest] if last else self._oldest():
            if self._latest[visitor_id].at + _INACTIVE_AFTER <= limit:
                yield visitor_id, _inactive(self._latest.pop(visitor_id))
            elif not last:
                break

    def _oldest(self) -> Iterator[str]:
        while self._latest:
            yield next(iter(self._latest))

    def _view_quote(self, visitor_id: str, seen: Seen) -> None:
        due = seen.at + _QUOTE_VALID
        quote = plant("quote_viewed_not_booked", due=due, quote=(seen,))
        self._quotes.setdefault(visitor_id, {})[seen.message_id] = quote
        heappush(self._quotes_due, (due, visitor_id, seen.message_id))

    def _book(self, visitor_id: str, at: int) -> None:
        waiting = self._quotes.get(visitor_id, {})
        for message_id in [message_id for message_id, quote in waiting.items() if at < quote.due]:
            del waiting[message_id]

    def _check_price(self, visitor_id: str, path: str, seen: Seen) -> None:
        held = self._checks.setdefault((visitor_id, path), [])
        self._checks.move_to_end((visitor_id, path))
        held.append(seen)
        if len(held) == _CHECKS:
            if seen.at - held[0].at < _CHECKS_WITHIN:
                self._found.append((visitor_id, plant("price_checked_repeatedly", checked=tuple(held))))
                held.clear()
                del self._checks[visitor_id, path]
            else:
                del held[0]

    def _be_active(self, visitor_id: str, seen: Seen) -> None:
        before = self._latest.pop(visitor_id, None)
        if before is not None and seen.at - before.at >= _INACTIVE_AFTER:
            self._found.append((visitor_id, _inactive(before)))
        if not seen.bot:
            self._latest[visitor_id] = seen


def _inactive(last: Seen) -> Plant:
    return plant("customer_inactive", due=last.at + _INACTIVE_AFTER, last=(last,))
