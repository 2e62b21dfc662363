"""Stages that are made of stages: groups, alternations, permutations."""

from docs.pattern_page.example import Chapter, stream
from footfall import Pattern, all_of_any_order, either, event, stage

PARTS = Chapter(
    "Groups, alternatives, any order",
    "A stage can be made of stages. A pattern without `within` or a skip strategy is a group as it is; `stage` makes "
    "a stage that isn't placed yet.",
)


@PARTS.example("Group, repeated", stream("open add drop add move drop pay"))
def _group() -> Pattern:
    """A group is a stage like any other: it joins on, repeats, and may be left out."""
    add_and_drop = Pattern("add_and_drop").begin("add", event == "add").followed_by("drop", event == "drop")
    return (
        Pattern("group")
        .begin("open", event == "open")
        .followed_by(add_and_drop)
        .times(2)
        .followed_by("pay", event == "pay")
    )


@PARTS.example("Group, optional", stream("open code apply pay open code pay"))
def _optional_group() -> Pattern:
    """The whole group comes, or none of it. A name given beside it names the group."""
    coupon = Pattern("coupon").begin("code", event == "code").next("apply", event == "apply")
    return (
        Pattern("optional_group")
        .begin("open", event == "open")
        .next("coupon", coupon)
        .optional()
        .next("pay", event == "pay")
    )


@PARTS.example("Alternation", stream("view chat pay view call pay"))
def _alternation() -> Pattern:
    """One of several, written with `|`. An event that fits more than one gives one match, named by the first."""
    return (
        Pattern("alternation")
        .begin("view", event == "view")
        .followed_by(stage("chat", event == "chat") | stage("call", event == "call"))
        .followed_by("pay", event == "pay")
    )


@PARTS.example("Alternation, repeated", stream("view chat call pay"))
def _repeated_alternation() -> Pattern:
    """`either` says the same, and can name the stage. Each time round, another one may fit."""
    contact = either(stage("chat", event == "chat"), stage("call", event == "call"), name="contact")
    return (
        Pattern("repeated_alternation")
        .begin("view", event == "view")
        .followed_by(contact)
        .times(2)
        .followed_by("pay", event == "pay")
    )


@PARTS.example("Permutation", stream("open terms search price pay"))
def _permutation() -> Pattern:
    """Each of the stages once, in any order; other events may lie between. Found by two orders, it counts once."""
    return (
        Pattern("permutation")
        .begin("open", event == "open")
        .followed_by(all_of_any_order(stage("price", event == "price"), stage("terms", event == "terms")))
        .followed_by("pay", event == "pay")
    )


@PARTS.example("Permutation, consecutive", stream("price search terms price pay"))
def _consecutive_permutation() -> Pattern:
    """Nothing may lie between its events; `combinations` instead takes any that fit."""
    both = all_of_any_order(stage("price", event == "price"), stage("terms", event == "terms"))
    return Pattern("consecutive_permutation").begin(both).consecutive().followed_by("pay", event == "pay")
