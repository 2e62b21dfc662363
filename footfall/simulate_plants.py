"""What the shipped patterns must find in the simulated traffic, said by plain loops over one visit at a time.

This doesn't use the engine: it is what the engine is checked against. A visit is judged by itself, since a
simulated visitor's next visit begins later than these patterns reach; `simulate_plants_long` has those that
reach further.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

from footfall.simulate_plants_pointer import dead_clicks, error_clicks, rage_clicks, thrashed_cursors
from footfall.simulate_seen import Plant, Seen, plant

__all__ = ["NEVER_LATE", "PATTERNS", "Plant", "Seen", "plants"]

_SECOND, _MINUTE = 1_000, 60_000
_ABANDONED_AFTER = 30 * _MINUTE
_EXIT_WITHIN = 10 * _MINUTE
_HIGH_INTENT_WITHIN = 30 * _MINUTE
_VISIT = 30 * _MINUTE
_PAGES, _DIFFERENT_PAGES, _READ_PERCENT = 5, 4, 90
_BOT_PAGES, _BOT_WITHIN = 11, 10 * _SECOND

# pattern -> (name of its stage, what begins it, what would complete it)
_ABANDONMENTS = {
    "booking_abandoned": ("started", "booking_started", "booking_completed"),
    "cart_abandoned": ("added", "product_added", "order_completed"),
    "checkout_abandoned": ("started", "checkout_started", "order_completed"),
}
_CONVERSIONS = {"booking_completed", "order_completed"}
_STEPS = _CONVERSIONS | {"booking_started", "checkout_started"}


def plants(visit: Sequence[Seen]) -> list[Plant]:
    """Every occurrence of the patterns in one visit, whose events are in the order of their event times."""
    return [found for find in _IN_ONE_VISIT for found in find(visit)]


def _abandoned(visit: Sequence[Seen]) -> Iterator[Plant]:
    for pattern, (stage, begun, completed) in _ABANDONMENTS.items():
        for index, first in enumerate(visit):
            if first.event != begun:
                continue
            due = first.at + _ABANDONED_AFTER
            if not any(later.event == completed and later.at < due for later in visit[index + 1 :]):
                yield plant(pattern, due=due, **{stage: (first,)})


def _abandoned_forms(visit: Sequence[Seen]) -> Iterator[Plant]:
    for index, touched in enumerate(visit):
        if touched.event != "form_field_changed" or touched.element is None:
            continue
        due = touched.at + _ABANDONED_AFTER
        if not any(
            later.event in {"form_field_changed", "form_submit"}
            and later.element == touched.element
            and later.at < due
            for later in visit[index + 1 :]
        ):
            found = plant("form_abandoned", due=due, touched=(touched,))
            yield found._replace(output={"form": touched.element, "last_field": touched.field})


def _exit_intents(visit: Sequence[Seen]) -> Iterator[Plant]:
    for index, first in enumerate(visit):
        if first.event != "price_checked":
            continue
        for later in visit[index + 1 :]:
            if later.event == "booking_started" or later.at - first.at >= _EXIT_WITHIN:
                break
            if later.event == "exit_intent":
                yield plant("exit_intent", checked=(first,), leaving=(later,))
                break


def _high_intent_exits(visit: Sequence[Seen]) -> Iterator[Plant]:
    done = -1
    for index, first in enumerate(visit):
        if index <= done or first.event not in {"price_checked", "product_added"}:
            continue
        interest = [first]
        for position in range(index + 1, len(visit)):
            later = visit[position]
            if later.event in _STEPS or later.at - first.at >= _HIGH_INTENT_WITHIN:
                break
            if later.event in {"price_checked", "product_added"}:
                interest.append(later)
            elif later.event == "exit_intent" and (
                len(interest) > 1 or any(seen.event == "product_added" for seen in interest)
            ):
                yield plant("exit_intent_high_intent", interest=tuple(interest), leaving=(later,))
                done = position
                break


def _high_engagements(visit: Sequence[Seen]) -> Iterator[Plant]:
    """A visit's first pages, four of five different, then one read to its end, and no conversion."""
    before: Seen | None = None
    for index, first in enumerate(visit):
        if first.event != "page_view":
            continue
        begins = before is None or first.at - before.at >= _VISIT
        before = first
        due = first.at + _VISIT
        in_time = [later for later in visit[index + 1 :] if later.at < due]
        if not begins or any(later.event in _CONVERSIONS for later in in_time):
            continue
        pages = [first, *(later for later in in_time if later.event == "page_view")][:_PAGES]
        if len(pages) < _PAGES or len({page.path for page in pages} - {None}) < _DIFFERENT_PAGES:
            continue
        behind = in_time[in_time.index(pages[-1]) + 1 :]
        for read in behind:
            if (
                read.event == "scroll_milestone"
                and read.percent is not None
                and read.percent >= _READ_PERCENT
            ):
                yield plant("high_engagement_no_conversion", due=due, pages=tuple(pages), read=(read,))
                break


def _completed_services(visit: Sequence[Seen]) -> Iterator[Plant]:
    for seen in visit:
        if seen.event == "service_completed":
            found = plant("service_completed", completed=(seen,))
            yield found._replace(output={"service": seen.service, "branch": seen.branch})


def _bot_like_bursts(visit: Sequence[Seen]) -> Iterator[Plant]:
    views = [seen for seen in visit if seen.event == "page_view" and not seen.bot]
    start = 0
    while start + _BOT_PAGES <= len(views):
        burst = views[start : start + _BOT_PAGES]
        if burst[-1].at - burst[0].at < _BOT_WITHIN:
            yield plant("bot_like_traffic", views=tuple(burst))
            start += _BOT_PAGES
        else:
            start += 1


_IN_ONE_VISIT: tuple[Callable[[Sequence[Seen]], Iterable[Plant]], ...] = (
    _abandoned,
    rage_clicks,
    _exit_intents,
    _abandoned_forms,
    dead_clicks,
    error_clicks,
    thrashed_cursors,
    _high_intent_exits,
    _high_engagements,
    _completed_services,
    _bot_like_bursts,
)
PATTERNS = (
    *_ABANDONMENTS,
    "rage_click",
    "exit_intent",
    "form_abandoned",
    "quote_viewed_not_booked",
    "price_checked_repeatedly",
    "high_engagement_no_conversion",
    "dead_click",
    "error_click",
    "thrashed_cursor",
    "exit_intent_high_intent",
    "customer_inactive",
    "service_completed",
    "bot_like_traffic",
)
NEVER_LATE = frozenset(
    {"click", "price_checked", "exit_intent", *(name for _, *pair in _ABANDONMENTS.values() for name in pair)}
)
"""Events that never come late in the simulated traffic, so that noise doesn't hide what people did."""
