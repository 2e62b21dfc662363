"""What a user agent says of the visitor's device and browser, in few words; made for counting, not for telling apart.

Brands come first that give themselves out for others: Edge and Samsung's browser say Chrome, Chrome says Safari.
"""

import re
from functools import lru_cache

DEVICES = ("desktop", "phone", "tablet")

_TABLET = re.compile(r"iPad|Tablet|Silk/|PlayBook|Kindle|Android(?!.*Mobile)", re.IGNORECASE)
_PHONE = re.compile(r"Mobi|iPhone|iPod|Windows Phone|BlackBerry|Opera Mini", re.IGNORECASE)
_DESKTOP = re.compile(r"Windows NT|Macintosh|X11|CrOS|Linux", re.IGNORECASE)
_BROWSERS = (
    ("edge", re.compile(r"\bEdg(?:e|A|iOS)?/")),
    ("opera", re.compile(r"\bOPR/|\bOpera\b")),
    ("samsung", re.compile(r"\bSamsungBrowser/")),
    ("firefox", re.compile(r"\bFirefox/|\bFxiOS/")),
    ("chrome", re.compile(r"\bChrome/|\bChromium/|\bCriOS/")),
    ("safari", re.compile(r"\bSafari/")),
    ("internet explorer", re.compile(r"\bMSIE |\bTrident/")),
)


@lru_cache(maxsize=65_536)
def device_of(user_agent: str) -> str | None:
    """`desktop`, `phone` or `tablet`; None where it doesn't say."""
    if _TABLET.search(user_agent):
        return "tablet"
    if _PHONE.search(user_agent):
        return "phone"
    return "desktop" if _DESKTOP.search(user_agent) else None


@lru_cache(maxsize=65_536)
def browser_of(user_agent: str) -> str | None:
    """The browser's brand in lower case; None for one that isn't known here."""
    return next((name for name, pattern in _BROWSERS if pattern.search(user_agent)), None)
