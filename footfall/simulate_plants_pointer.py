"""What the shipped patterns about clicks and the pointer must find in one visit, said by plain loops."""

from collections.abc import Iterator, Sequence

from footfall.simulate_seen import Plant, Seen, plant

_RAGE_CLICKS, _RAGE_WITHIN, _RAGE_DISTANCE = 3, 1_000, 30
_REACTION_WITHIN = 2_500
_ERROR_WITHIN = 2_000
_SWINGS, _SWING_WITHIN, _SWING_WIDTH = 3, 2_000, 100

_NO_REACTIONS = {
    "click",
    "exit_intent",
    "heartbeat",
    "mouse_moved",
    "page_left",
    "script_error",
    "scroll_milestone",
}


def rage_clicks(visit: Sequence[Seen]) -> Iterator[Plant]:
    """Three clicks, the others on the first one's element or close to it, within less than a second."""
    clicks = [seen for seen in visit if seen.event == "click" and not _clicked_fast(seen.element)]
    start = 0
    while start < len(clicks):
        first = clicks[start]
        burst = [start]
        for index in range(start + 1, len(clicks)):
            if len(burst) < _RAGE_CLICKS and _hits(first, clicks[index]):
                burst.append(index)
        if len(burst) == _RAGE_CLICKS and clicks[burst[-1]].at - first.at < _RAGE_WITHIN:
            found = plant("rage_click", click=tuple(clicks[index] for index in burst))
            yield found._replace(output={"element": first.element, "path": first.path})
            start = burst[-1] + 1
        else:
            start += 1


def dead_clicks(visit: Sequence[Seen]) -> Iterator[Plant]:
    """A click on a button that nothing answers for two and a half seconds."""
    for index, click in enumerate(visit):
        if click.event != "click" or not _is_button(click.element):
            continue
        due = click.at + _REACTION_WITHIN
        if not any(seen.at < due and seen.event not in _NO_REACTIONS for seen in visit[index + 1 :]):
            yield plant("dead_click", due=due, click=(click,))


def error_clicks(visit: Sequence[Seen]) -> Iterator[Plant]:
    """A script error in the two seconds after a click, laid at the last click before it."""
    for index, click in enumerate(visit):
        if click.event != "click":
            continue
        for later in visit[index + 1 :]:
            if later.event == "click" or later.at - click.at >= _ERROR_WITHIN:
                break
            if later.event == "script_error":
                yield plant("error_click", click=(click,), error=(later,))
                break


def thrashed_cursors(visit: Sequence[Seen]) -> Iterator[Plant]:
    """The pointer goes right and back three times within two seconds, 100 px or more each way."""
    moves = [seen for seen in visit if seen.event == "mouse_moved" and seen.x is not None]
    start = 0
    while start < len(moves):
        swung = _swings(moves, start)
        if swung:
            there, back = swung[::2], swung[1::2]
            first = moves[start]
            yield Plant(
                "thrashed_cursor",
                {
                    "start": (first.message_id,),
                    "there": tuple(moves[index].message_id for index in there),
                    "back": tuple(moves[index].message_id for index in back),
                },
                first.at,
                moves[back[-1]].at,
                moves[back[-1]].at,
            )
            start = back[-1] + 1
        else:
            start += 1


def _swings(moves: Sequence[Seen], start: int) -> list[int]:
    """The positions of the moves that end a swing, there and back in turn; empty if it isn't swung enough."""
    first = moves[start]
    taken: list[int] = []
    for index in range(start + 1, len(moves)):
        move = moves[index]
        if move.at - first.at >= _SWING_WITHIN:
            break
        x, begun = move.x or 0, first.x or 0
        goes_back = len(taken) % 2 == 1
        turned = moves[taken[-1]].x or 0 if goes_back else 0
        if (turned - x if goes_back else x - begun) >= _SWING_WIDTH:
            taken.append(index)
            if len(taken) == 2 * _SWINGS:
                return taken
    return []


def _hits(first: Seen, click: Seen) -> bool:
    if first.element is not None and first.element == click.element:
        return True
    if first.x is None or first.y is None or click.x is None or click.y is None:
        return False
    return (click.x - first.x) ** 2 + (click.y - first.y) ** 2 <= _RAGE_DISTANCE**2


def _clicked_fast(element: str | None) -> bool:
    """Whether it is a control that is meant to be clicked several times: a stepper, a pager, a text field."""
    if element is None:
        return False
    name = element.lower()
    if ("next" in name and "__next" not in name) or "plus" in name or "minus" in name:
        return True
    if ("prev" in name and "preview" not in name and "prevent" not in name) or name in {"+", "-", "<", ">"}:
        return True
    if name.startswith("input"):
        return not any(kind in name for kind in ("submit", "button", "checkbox", "radio", "image"))
    return name.startswith("textarea") or "contenteditable" in name


def _is_button(element: str | None) -> bool:
    if element is None:
        return False
    name = element.lower()
    if name.startswith("input") and ("submit" in name or "button" in name):
        return True
    return name.startswith("button") or "role=button" in name or 'role="button"' in name
