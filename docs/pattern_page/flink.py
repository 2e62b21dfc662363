"""For people who come from Flink CEP: which word is which, and where Footfall differs. Its examples are run too."""

from docs.pattern_page.example import Chapter, stream
from footfall import Pattern, event

WORDS = (
    ('`Pattern.begin("a").where(...)`', '`Pattern("name").begin("a", condition)`'),
    ("`next`, `followedBy`, `followedByAny`", "`next`, `followed_by`, `followed_by_any`"),
    ("`notNext`, `notFollowedBy`", "`not_next`, `not_followed_by`; at the start, `absent`"),
    (
        "`times(n)`, `times(n, m)`, `timesOrMore(n)`, `oneOrMore()`",
        "`times(n)`, `times(n, m)`, `at_least(n)`, `one_or_more()`",
    ),
    ("`optional()`, `greedy()`", "`optional()`, `greedy()`; the other way round, `reluctant()`"),
    ("`consecutive()`, `allowCombinations()`", "`consecutive()`, `combinations()`"),
    ("`until(condition)`", "`until(condition)`"),
    ("`times(n, window)`", "`times(n, each_within=...)`"),
    ("`where(a).where(b)`, `or(b)`", "`a & b`, `a \\| b`, `~a` in one condition"),
    ("`subtype(Booking.class)`", '`subtype("booking")`'),
    (
        '`IterativeCondition` with `getEventsForPattern("a")`',
        '`first("a")`, `last("a")`, `any_of("a")`, `taken("a")`',
    ),
    ("a group: `followedBy(Pattern.begin(...))`", '`followed_by(group)`, `followed_by("name", group)`'),
    ("`or` inside one condition", "`stage(...) \\| stage(...)`, `either`; and `all_of_any_order`"),
    ("`within(time)`", "`within(time)`"),
    (
        "`within(time, WithinType.PREVIOUS_AND_CURRENT)`",
        "`followed_by(..., within=time)` or `step_within(time)`, on each step that it is meant for",
    ),
    (
        "`AfterMatchSkipStrategy.noSkip()`, `skipToNext()`, `skipPastLastEvent()`",
        "`no_skip()`, `skip_to_next()`, `skip_past_last()`",
    ),
    (
        '`skipToFirst("a")`, `skipToLast("a")`, `throwExceptionOnMiss()`',
        '`skip_to_first("a")`, `skip_to_last("a")`, `raise_on_miss=True`',
    ),
    ("`EventComparator`", "`tie_order(field)`"),
    ("`keyBy(visitor)`", "always; beyond it, `same(field)`"),
    ("`TimedOutPartialMatchHandler`", "`with_timeouts()`; the status is `timed_out`"),
    ("`PatternProcessFunction`", "`output(name=...)`; and each match comes with its events by stage"),
    ("`PREV(x.field, n)` in `MATCH_RECOGNIZE`", "`prev(field, n)`"),
)
"""Flink's words, and Footfall's for the same."""

SAME_AS_FLINK = """\
The matches are Flink's: what its documentation and its test suite say is what Footfall's own tests hold it to. Worth
knowing, since the documentation leaves it unsaid:

- `optional` is not greedy: with and without the stage, both match.
- Skipping tests the condition of the awaited stage alone.
- `greedy` also ends the ways that wait: after the loop, an event that fits it and comes before the next stage's event
  ends the match, so a greedy loop of `a` followed by `a` never matches. A greedy loop at the end of a pattern gives
  every prefix. `times(n)` ignores it.
- `until` forbids skipping once the loop has begun.
- A not-stage behind a loop holds from the loop's first event; behind a looping group, between its rounds.
- With no skip strategy, two loops over the same events can give the same events more than once."""

DIFFERENCES = """\
Where Flink contradicts its own documentation, Footfall follows the documentation; and some things are new:

- **A loop's window bounds every step**, the last included. In Flink 2.0 steps of `times(n, window)` can escape it.
- **An absence at the end needs no further event.** Behind a loop, Flink loses the match if no event arrives inside the
  window. And beside `within`, it can have a bound of its own, from the last event.
- **A comparison with a missing value is unknown**, so is its opposite, and unknown is not true: no guards are needed.
- **Time is the events' alone**; there is no processing time, and no answer depends on batches, workers or a restart.
- New in the language: `absent` at the start, `reluctant`, alternation and permutation of stages, `prev`, aggregates
  with `distinct`, `same`, `output`.
- All patterns of a run share one operator, and a condition that several ask is evaluated once.
- Every match has an id that is the same in every run, and its events; an early match that a late event disproves is
  retracted."""

FLINK = Chapter("Where Footfall follows Flink's documentation", "The first two of these, run:")


@FLINK.example("Every step of a loop is bounded", stream("click click click click click", at=[0, 1, 4, 5, 6]))
def _every_step() -> Pattern:
    """Three clicks with less than 2 s from each to the next; 3 s lie between the second and the third."""
    return Pattern("every_step").begin("click", event == "click").times(3, each_within="2 s")


@FLINK.example("An absence behind a loop", stream("add add"))
def _absence_behind_a_loop() -> Pattern:
    """Nothing comes after the last `add`, and the match is settled all the same when the time is up."""
    return (
        Pattern("absence_behind_a_loop")
        .begin("add", event == "add")
        .times(2)
        .not_followed_by("pay", event == "pay")
        .within("3 s")
    )
