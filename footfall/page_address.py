"""What a page's address says: its path, and the campaign that led to it."""

import re
from functools import lru_cache
from urllib.parse import parse_qsl

CAMPAIGN = ("utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content")

# RFC 3986, appendix B: any text splits so, a well-formed address or not.
_PARTS = re.compile(r"(?:[^:/?#]+:)?(//[^/?#]*)?([^?#]*)", re.DOTALL)
_BLANKS = " \t\n\r\v\f"


@lru_cache(maxsize=4096)
def page_path(url: str) -> str | None:
    """The path of an address, as it stands there; "/" where only a host is given, None if there is none."""
    parts = _PARTS.match(url)
    if parts is None:
        return None
    host, path = parts.groups()
    if path.strip(_BLANKS):
        return str(path)
    return None if host is None else "/"


@lru_cache(maxsize=4096)
def page_campaign(url: str) -> dict[str, str]:
    """The campaign fields in an address's query, decoded; the first of a name counts, blank ones don't."""
    query = url.partition("?")[2].partition("#")[0]
    found: dict[str, str] = {}
    for name, value in parse_qsl(query, errors="replace"):
        if name in CAMPAIGN and value.strip(_BLANKS) and "\0" not in value:
            found.setdefault(name, value)
    return found
