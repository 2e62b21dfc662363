"""Which user agents are robots: crawlers, previews, monitors, test browsers and plain HTTP clients."""

import re
from functools import lru_cache

_ROBOT = re.compile(
    r"bot\b|bot[/_;-]|robot|crawl|spider|slurp|headless|lighthouse|pagespeed|preview|monitor|pingdom|uptime|"
    r"phantomjs|selenium|puppeteer|playwright|facebookexternalhit|mediapartners|archiver|scrapy|"
    r"^(?:curl|wget|python|java|go-http|okhttp|libwww|apache-httpclient|node-fetch|axios)\b",
    re.IGNORECASE,
)


@lru_cache(maxsize=65_536)
def is_robot(user_agent: str) -> bool:
    """Whether the user agent names itself, or gives itself away, as no person's browser."""
    return _ROBOT.search(user_agent) is not None
