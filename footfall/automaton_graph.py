"""The automaton while it is being built: nodes with take, pass and proceed edges, flattened to numbered states.

A proceed edge is followed without an event. A partial match sits in a branch only until its next event: then each of
the waits that the branch offers goes its own way, so that leaving a loop and staying in it are told apart once.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from footfall.automaton_states import Guard, Move, MoveKind, State
from footfall.pattern_spec import Test


@dataclass(eq=False, slots=True)
class Take:
    """A take edge: what takes the event, and the node after it, made when it is first asked for."""

    guard: Guard
    stage: int
    step_ms: int | None
    make_target: Callable[[], "Node"]
    made: "Node | None" = None

    def target(self) -> "Node":
        """The node after it."""
        if self.made is None:
            self.made = self.make_target()
        return self.made


@dataclass(eq=False, slots=True)
class Wait:
    """A node that waits for one of its takes.

    Attributes:
        passing: guards of events that it passes over while it waits (any of them); none when strict.
        stops: the forbidden events, each with whether a take of this node is spared when its event satisfies it.
    """

    takes: list[Take]
    passing: tuple[Guard, ...]
    stops: tuple[tuple[Guard, bool], ...] = ()
    step_ms: int | None = None


@dataclass(eq=False, slots=True)
class Branch:
    """Proceed edges to each of the arms, in order of preference."""

    arms: list["Node"] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class Reluctant:
    """Proceeds to `after`; to `loop` only on events with which nothing in `after` can go on."""

    loop: "Node"
    after: "Node"


@dataclass(eq=False, slots=True)
class Greedy:
    """What follows a greedy loop: events that the loop would take (`tests`) end it.

    An `until` event that is the first after the loop's last one lifts that for good; once something has been passed
    over (`rewritten`, by the id of the node that passes it), it no longer does. A not_next directly behind the loop is
    asked only of events that it wouldn't take, and is the last that greediness bears on. `taken`: the loop has just
    taken an event, and the pattern can't end by leaving out what follows.
    """

    after: "Node"
    tests: tuple[Test, ...]
    until: Test
    has_until: bool
    rewritten: dict[int, "Greedy"]
    taken: bool = False


@dataclass(eq=False, slots=True)
class NotNext:
    """Proceeds to `after` on events that fail the test; on others, the partial match ends."""

    after: "Node"
    test: Test


@dataclass(eq=False, slots=True)
class Ending:
    """The match is whole. `skipped`: an optional stage stood here and was passed by."""

    skipped: bool


@dataclass(eq=False, slots=True)
class Absent:
    """The match is whole once its time is over, if no forbidden event comes before."""

    stops: tuple[Guard, ...]
    absent_ms: int | None


Node = Wait | Branch | Reluctant | Greedy | NotNext | Ending | Absent


@dataclass(frozen=True, slots=True)
class _Edge:
    """A move whose targets are nodes still.

    Attributes:
        firm: the stops that forbid it though the event is its own.
        needless: it is a reluctant loop's, and isn't there where the pattern can end by leaving out what follows.
    """

    kind: MoveKind
    guard: Guard
    target: Node | None
    stage: int = -1
    step_ms: int | None = None
    firm: tuple[Guard, ...] = ()
    instead_of: tuple[tuple[Guard, int | None], ...] = ()
    of_absence: bool = False
    of_not_next: bool = False
    needless: bool = False


@dataclass(slots=True)
class _Closure:
    """All that can be reached from a node by proceed edges; `hard` are the stops that forbid every move."""

    edges: list[_Edge] = field(default_factory=list)
    stops: list[Guard] = field(default_factory=list)
    hard: list[Guard] = field(default_factory=list)
    ends: bool = False
    ends_skipped: bool = False
    absent: bool = False
    absent_ms: int | None = None

    def add(self, other: "_Closure") -> None:
        self.edges += other.edges
        self.stops += [stop for stop in other.stops if stop not in self.stops]
        self.hard += [stop for stop in other.hard if stop not in self.hard]
        self.ends |= other.ends
        self.ends_skipped |= other.ends_skipped
        if other.absent:
            self.absent, self.absent_ms = True, other.absent_ms


class Flattening:
    """Numbers the states that can be reached from a node; state 0 is the node itself.

    Args:
        start: the node.
        keeps_apart: the ways in which a partial match waits are told apart by its next event, whichever that is: each
            is to time out by itself.
    """

    def __init__(self, start: Node, *, keeps_apart: bool = False) -> None:
        self._closures: dict[int, _Closure] = {}
        self._settled: dict[int, _Closure] = {}
        self._numbers: dict[tuple[int, str], int] = {}
        self._nodes: list[tuple[Node, str]] = []
        self._kept: list[Node] = []
        self._number(start, "")
        flat: list[State] = []
        while len(flat) < len(self._nodes):
            node, part = self._nodes[len(flat)]
            flat.append(self._state(self._part(self._closure(node), part)))
        self.states = tuple(
            _with_restlessness(state, number, flat, keeps_apart=keeps_apart)
            for number, state in enumerate(flat)
        )

    def _number(self, node: Node, part: str) -> int:
        key = (id(node), part)
        if key not in self._numbers:
            self._numbers[key] = len(self._nodes)
            self._nodes.append((node, part))
        return self._numbers[key]

    def _closure(self, node: Node) -> _Closure:
        """What a partial match in the node can do: where the pattern can end, reluctant loops don't go on."""
        if id(node) not in self._settled:
            closure = self._reached(node)
            needed = [edge for edge in closure.edges if not edge.needless]
            self._settled[id(node)] = replace(closure, edges=needed)
        return self._settled[id(node)]

    def _reached(self, node: Node, path: tuple[int, ...] = ()) -> _Closure:
        known = self._closures.get(id(node))
        if known is not None:
            return known
        if id(node) in path:  # a loop whose round may be empty: its edges are already on the list
            return _Closure()
        closure = self._follow(node, (*path, id(node)))
        if not path:
            self._closures[id(node)] = closure
            self._kept.append(node)  # its id must stay its own
        return closure

    def _follow(self, node: Node, path: tuple[int, ...]) -> _Closure:
        match node:
            case Wait():
                closure = _of_wait(node)
            case Branch():
                closure = _Closure()
                for arm in node.arms:
                    closure.add(self._reached(arm, path))
            case Reluctant():
                closure = _of_reluctant(self._reached(node.loop, path), self._reached(node.after, path))
            case Greedy():
                closure = _of_greedy(node, self._reached(node.after, path))
            case NotNext():
                closure = _of_not_next(node, self._reached(node.after, path))
            case Ending():
                closure = _Closure(ends=not node.skipped, ends_skipped=node.skipped)
            case Absent():
                waiting = [_Edge(MoveKind.PASS, Guard(), node, of_absence=True)]
                closure = _Closure(waiting, list(node.stops), absent=True, absent_ms=node.absent_ms)
        return closure

    def _part(self, closure: _Closure, part: str) -> _Closure:
        """The closure, its waiting for an absence alone, or all but that."""
        if not part:
            return closure
        kept = [edge for edge in closure.edges if edge.of_absence == (part == "absence")]
        if part == "absence":
            return _Closure(kept, closure.stops, closure.hard, absent=True, absent_ms=closure.absent_ms)
        return _Closure(kept, closure.stops, closure.hard)

    def _targets(self, node: Node) -> tuple[tuple[int, ...], bool]:
        closure = self._closure(node)
        whole = closure.ends or closure.ends_skipped
        if not closure.edges and not closure.absent:
            return (), whole
        if closure.absent_ms is not None and any(not edge.of_absence for edge in closure.edges):
            return (self._number(node, "rest"), self._number(node, "absence")), whole
        return (self._number(node, ""),), whole

    def _state(self, closure: _Closure) -> State:
        moves: list[Move] = []
        for edge in closure.edges:
            targets, whole = ((), True) if edge.target is None else self._targets(edge.target)
            moves.append(
                Move(
                    edge.kind,
                    edge.guard,
                    targets,
                    edge.stage,
                    completes=whole and edge.kind is not MoveKind.PASS,
                    step_ms=edge.step_ms,
                    spared=_spared(edge, closure),
                    instead_of=edge.instead_of,
                )
            )
        steps = [move.step_ms for move in moves]
        limit = max((step for step in steps if step is not None), default=None)
        interest = 0
        for guard in (*closure.stops, *(move.guard for move in moves)):
            interest |= guard.bits
        for move in moves:
            for guard, _ in move.instead_of:
                interest |= guard.bits
        return State(
            tuple(moves),
            tuple(closure.stops),
            closure.absent,
            closure.absent_ms,
            None if None in steps or closure.absent else limit,
            interest,
        )


def _spared(edge: _Edge, closure: _Closure) -> tuple[Guard, ...]:
    """The stops that don't forbid a move: an event that is taken isn't in between, unless its own loop forbids it.

    Nor is one that completes the match without being taken.
    """
    if edge.kind is MoveKind.PASS:
        return ()
    return tuple(stop for stop in closure.stops if stop not in closure.hard and stop not in edge.firm)


def _of_wait(node: Wait) -> _Closure:
    firm = tuple(guard for guard, spares in node.stops if not spares)
    edges = [
        _Edge(MoveKind.TAKE, take.guard, take.target(), take.stage, take.step_ms, firm=firm)
        for take in node.takes
    ]
    edges += [_Edge(MoveKind.PASS, guard, node, step_ms=node.step_ms) for guard in node.passing]
    return _Closure(edges, list(dict.fromkeys(guard for guard, _ in node.stops)))


def _of_reluctant(loop: _Closure, after: _Closure) -> _Closure:
    closure = _Closure(stops=list(loop.stops), hard=list(loop.hard))
    if not after.ends:
        first = tuple((edge.guard, edge.step_ms) for edge in after.edges)
        closure.edges = [
            replace(
                edge,
                instead_of=(*edge.instead_of, *first),
                needless=edge.needless or after.ends_skipped,
            )
            for edge in loop.edges
        ]
    closure.add(after)
    return closure


def _of_not_next(node: NotNext, after: _Closure) -> _Closure:
    clear = Guard.failing(node.test)
    edges = []
    for edge in after.edges:
        guard = edge.guard.also(clear)
        edges.append(_barred(edge) if guard is None else replace(edge, guard=guard, of_not_next=True))
    if after.ends:
        edges.append(_Edge(MoveKind.COMPLETE, Guard.never() if clear is None else clear, None))
    stops = [Guard.passing(node.test), *after.stops]
    return _Closure(
        edges,
        stops,
        [Guard.passing(node.test), *after.hard],
        ends_skipped=after.ends_skipped,
        absent=after.absent,
        absent_ms=after.absent_ms,
    )


def _of_greedy(node: Greedy, after: _Closure) -> _Closure:
    still: Guard | None = Guard()
    for test in node.tests:
        still = still.also(Guard.failing(test)) if still is not None else None
    if node.has_until:
        still = still.also(Guard.failing(node.until)) if still is not None else None
    over = Guard.passing(node.until) if node.has_until else None
    edges = []
    for edge in after.edges:
        ended = edge.guard.also(over)
        if ended is not None:
            edges.append(replace(edge, guard=ended))
        guard = edge.guard.also(still)
        if guard is None:
            edges.append(_barred(edge))
            continue
        target = edge.target
        if edge.kind is MoveKind.PASS and target is not None and not edge.of_not_next:
            again = Greedy(target, node.tests, None, has_until=False, rewritten=node.rewritten)
            target = node.rewritten.setdefault(id(target), again)
        edges.append(replace(edge, guard=guard, target=target))

    def asked(stops: Iterable[Guard]) -> list[Guard]:
        both = [stop.also(also) for stop in stops for also in (still, over)]
        return [stop for stop in both if stop is not None]

    return replace(
        after,
        edges=[
            replace(edge, firm=tuple(asked(edge.firm)), needless=edge.needless and not node.taken)
            for edge in edges
        ],
        stops=asked(after.stops),
        hard=asked(after.hard),
        ends_skipped=after.ends_skipped and not node.taken,
    )


def _barred(edge: _Edge) -> _Edge:
    """The edge, as one that can't be followed: the partial match waits for it in vain, until its next event."""
    return _Edge(MoveKind.TAKE, Guard.never(), None, edge.stage, edge.step_ms, needless=edge.needless)


def _with_restlessness(state: State, number: int, states: list[State], *, keeps_apart: bool) -> State:
    """Whether an event that shows no bit of the state's interest leaves a partial match just as it is."""
    blank = [move for move in state.moves if not move.guard.need]
    stops = any(not stop.need for stop in state.stops)
    calm = all(move.kind is MoveKind.PASS and _is_sure(move.guard) and not move.instead_of for move in blank)
    restless = stops or not calm
    if keeps_apart and not restless:
        restless = [target for move in blank for target in move.targets] != [number]
    if not restless:
        after = [states[target] for move in blank for target in move.targets]
        reached = [made for target in after for made in _ways_on(target)]
        restless = reached != _ways_on(state) or any(target.absent for target in after) != state.absent
        restless |= {stop for target in after for stop in target.stops} != set(state.stops)
    return State(
        state.moves, state.stops, state.absent, state.absent_ms, state.step_limit_ms, state.interest, restless
    )


def _ways_on(state: State) -> list[tuple[Move, frozenset[Guard]]]:
    """The state's moves, each with the events that make it but for a stop; what is spared is said by that alone."""
    ways = []
    for move in state.moves:
        barred = (stop.also(move.guard) for stop in state.stops if stop not in move.spared)
        ways.append((replace(move, spared=()), frozenset(guard for guard in barred if guard is not None)))
    return ways


def _is_sure(guard: Guard) -> bool:
    """Whether an event without any of the bits passes: a test that names a bit can't be true of it."""
    return all(not wanted and isinstance(getattr(test, "bit", None), int) for test, wanted in guard.tests)
