"""How often a stage comes, and how its events lie to each other."""

from docs.pattern_page.example import Chapter, stream
from footfall import Pattern, event, field

COUNTS = Chapter(
    "How often a stage comes",
    "These methods are about the stage before them. A loop that may take more or fewer events gives a match for each "
    "choice: every prefix counts. `greedy`, `reluctant` and the skip strategies say which of them you want.",
)


@COUNTS.example("times(n)", stream("click click click pay"))
def _times() -> Pattern:
    """Exactly so many."""
    return Pattern("times").begin("click", event == "click").times(2).followed_by("pay", event == "pay")


@COUNTS.example("times(n, m)", stream("view click click click pay"))
def _times_between() -> Pattern:
    """From `n` to `m`. A lower bound of 0 lets the stage be left out."""
    return (
        Pattern("times_between")
        .begin("view", event == "view")
        .followed_by("click", event == "click")
        .times(1, 2)
        .followed_by("pay", event == "pay")
    )


@COUNTS.example("at_least(n)", stream("view click click click pay"))
def _at_least() -> Pattern:
    """So many or more."""
    return (
        Pattern("at_least")
        .begin("view", event == "view")
        .followed_by("click", event == "click")
        .at_least(2)
        .followed_by("pay", event == "pay")
    )


@COUNTS.example("one_or_more", stream("view click click pay"))
def _one_or_more() -> Pattern:
    """One or more; with `optional` behind it, any number, none included."""
    return (
        Pattern("one_or_more")
        .begin("view", event == "view")
        .followed_by("click", event == "click")
        .one_or_more()
        .followed_by("pay", event == "pay")
    )


@COUNTS.example("optional", stream("view chat pay"))
def _optional() -> Pattern:
    """The stage may be left out, and is not preferred either: both ways match."""
    return (
        Pattern("optional")
        .begin("view", event == "view")
        .followed_by("chat", event == "chat")
        .optional()
        .followed_by("pay", event == "pay")
    )


@COUNTS.example("Zero or more", stream("view click click pay"))
def _zero_or_more() -> Pattern:
    """A loop that may be left out: no, one, or several clicks."""
    return (
        Pattern("zero_or_more")
        .begin("view", event == "view")
        .followed_by("click", event == "click")
        .one_or_more()
        .optional()
        .followed_by("pay", event == "pay")
    )


@COUNTS.example("greedy", stream("view click click pay"))
def _greedy() -> Pattern:
    """The loop takes all that it can before what follows may begin, so the shorter ways are gone."""
    return (
        Pattern("greedy")
        .begin("view", event == "view")
        .followed_by("click", event == "click")
        .one_or_more()
        .greedy()
        .followed_by("pay", event == "pay")
    )


@COUNTS.example(
    "An event that fits the loop and the next stage", stream("view add add add", value=[None, 10, 60, 70])
)
def _overlap() -> Pattern:
    """Without a word for it, an event that fits both the loop and what follows goes both ways.

    Compare the two examples below.
    """
    return (
        Pattern("overlap")
        .begin("view", event == "view")
        .followed_by("small", event == "add")
        .one_or_more()
        .followed_by("large", (event == "add") & (field("value") > 50))
    )


@COUNTS.example("reluctant", stream("view add add add", value=[None, 10, 60, 70]))
def _reluctant() -> Pattern:
    """The loop takes no more than it must: an event that fits what follows ends it."""
    return (
        Pattern("reluctant")
        .begin("view", event == "view")
        .followed_by("small", event == "add")
        .one_or_more()
        .reluctant()
        .followed_by("large", (event == "add") & (field("value") > 50))
    )


LOOPS = Chapter(
    "What may lie between the events of a loop",
    "By default a loop is relaxed: what isn't like its events may lie between them. Two more words, and a stop:",
)


@LOOPS.example("Relaxed loop", stream("click click move click"))
def _relaxed_loop() -> Pattern:
    """The default: other events are skipped, those that fit aren't."""
    return Pattern("relaxed_loop").begin("click", event == "click").times(3)


@LOOPS.example("consecutive", stream("click click move click click click"))
def _consecutive() -> Pattern:
    """Nothing may lie between them. It is about the loop; how its first event joins on is another thing."""
    return Pattern("consecutive").begin("click", event == "click").times(3).consecutive()


@LOOPS.example("combinations", stream("click click move click click"))
def _combinations() -> Pattern:
    """Anything may lie between them, events that fit too: each way to choose three clicks is a match."""
    return Pattern("combinations").begin("click", event == "click").times(3).combinations()


@LOOPS.example("until", stream("view click click leave click pay"))
def _until() -> Pattern:
    """An event like this stops a loop without an upper bound, and isn't taken by it; what follows may still come.

    It also lets the engine forget: a loop that is stopped keeps no more partial matches.
    """
    return (
        Pattern("until")
        .begin("view", event == "view")
        .followed_by("click", event == "click")
        .one_or_more()
        .greedy()
        .until(event == "leave")
        .followed_by("pay", event == "pay")
    )
