"""Who the visitors of the long simulation are: how they are drawn, where a visit of theirs comes from, their ids.

What a record tells of them is the source of each visit and the device; their quality is told by nothing.
"""

from random import Random
from typing import TypeVar

from footfall.simulate_lives_states import TRAITS, Traits
from footfall.simulate_records import USER_AGENTS
from footfall.simulate_site import ORIGINS, Origin

T = TypeVar("T")

_BEFORE = {
    "organic": 0.31,
    "paid": 0.20,
    "social": 0.16,
    "email": 0.06,
    "direct": 0.17,
    "referral": 0.10,
}
_FLOOD = 0.4
"""The share of newcomers that the discount campaign brings after the change; the others keep their proportions."""
_ON_PHONE = {
    "social": 0.85,
    "discount": 0.8,
    "paid": 0.6,
    "organic": 0.55,
    "referral": 0.55,
    "email": 0.45,
    "direct": 0.4,
}
_QUALITY = {
    "email": (0.2, 0.5, 0.3),
    "direct": (0.25, 0.5, 0.25),
    "organic": (0.4, 0.45, 0.15),
    "paid": (0.4, 0.4, 0.2),
    "referral": (0.4, 0.45, 0.15),
    "social": (0.65, 0.3, 0.05),
    "discount": (0.55, 0.35, 0.1),
}
_COMES_AS_BEFORE, _COMES_DIRECTLY = 0.6, 0.85

_DISCOUNT: Origin = ("https://social.example/", "social", "paid_social", "discount_week", None, "banner")
_ORIGINS: dict[str, tuple[Origin, ...]] = {
    "direct": (ORIGINS[0][1],),
    "organic": (ORIGINS[1][1],),
    "paid": (ORIGINS[2][1], ORIGINS[3][1]),
    "referral": (ORIGINS[4][1], ORIGINS[7][1]),
    "social": (ORIGINS[5][1],),
    "email": (ORIGINS[6][1],),
    "discount": (_DISCOUNT,),
}
_AGENTS = {"phone": USER_AGENTS[:2], "desktop": USER_AGENTS[2:]}
_PLACES = {traits: place for place, traits in enumerate(TRAITS)}


def newcomer(random: Random, *, changed: bool) -> int:
    """The traits of somebody new, as their place in `TRAITS`; `changed` if the change of behaviour has come."""
    flooded = changed and random.random() < _FLOOD
    source = "discount" if flooded else _one_of(random, tuple(_BEFORE.items()))
    device = "phone" if random.random() < _ON_PHONE[source] else "desktop"
    quality = _one_of(random, tuple(enumerate(_QUALITY[source])))
    return _PLACES[Traits(source, device, quality)]


def visit_source(random: Random, traits: Traits, *, first: bool) -> str:
    """Where a visit comes from: the visitor's own source, else mostly directly or by a search."""
    share = random.random()
    if first or share < _COMES_AS_BEFORE:
        return traits.source
    return "direct" if share < _COMES_DIRECTLY else "organic"


def origin_of(random: Random, source: str) -> Origin:
    """What the first record of a visit from that source says of it."""
    origins = _ORIGINS[source]
    return origins[int(random.random() * len(origins))]


def user_agent(number: int, device: str) -> str:
    """The browser of the visitor of that number."""
    agents = _AGENTS[device]
    return agents[number % len(agents)]


def _one_of(random: Random, shares: tuple[tuple[T, float], ...]) -> T:
    left = random.random()
    for choice, share in shares:
        left -= share
        if left < 0:
            return choice
    return shares[0][0]
