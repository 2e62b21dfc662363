"""The models of scores: who is about to book, who is about to stay away, and what a customer will bring."""

from footfall import event, field, property_
from footfall.scoring.feature import (
    Feature,
    category,
    count,
    days_since,
    days_since_first,
    highest,
    matches,
    seconds_on_site,
    sessions,
    total,
)
from footfall.scoring.score_model import (
    ScoreModel,
    at_event,
    at_session_end,
    days_after_last_event,
    earns,
    happens,
    stays_away,
)

PAGE = event.is_in(["page_view", "screen_view"])
SEARCH = event == "products_searched"
PRICE = event == "price_checked"
_PATH = field("path")
SERVICE = event.is_in(["service_viewed", "product_viewed"]) | (
    PAGE & (_PATH.starts_with("/services/") | _PATH.starts_with("/products/"))
)
OPINION = PAGE & (_PATH.starts_with("/reviews") | _PATH.starts_with("/branches/"))
STARTED = event.is_in(["booking_started", "checkout_started", "product_added"])
ORDER = event.is_in(["booking_completed", "order_completed"])

BEHAVIOUR = (
    Feature("page_views", count(PAGE), "", "Pages seen, ever"),
    Feature("session_page_views", count(PAGE, over="session"), "", "Pages seen in the latest session"),
    Feature("pages_per_session", count(PAGE) / sessions(), "pages", "Pages seen, per session"),
    Feature("session_events", count(over="session"), "", "Events of the latest session"),
    Feature("seconds_on_site", seconds_on_site(), "s", "Time on the site, ever"),
    Feature(
        "session_seconds", seconds_on_site(over="session"), "s", "Time on the site in the latest session"
    ),
    Feature("price_checks", count(PRICE), "", "Prices looked at, ever"),
    Feature(
        "session_price_checks", count(PRICE, over="session"), "", "Prices looked at in the latest session"
    ),
    Feature("service_views", count(SERVICE), "", "Services or products seen, ever"),
    Feature(
        "session_service_views",
        count(SERVICE, over="session"),
        "",
        "Services or products seen in the latest session",
    ),
    Feature("searches", count(SEARCH), "", "Searches, ever"),
    Feature("session_searches", count(SEARCH, over="session"), "", "Searches in the latest session"),
    Feature("booking_attempts", count(STARTED), "", "Bookings begun, ever"),
    Feature(
        "session_booking_attempts", count(STARTED, over="session"), "", "Bookings begun in the latest session"
    ),
    Feature(
        "session_scroll_depth",
        highest(property_("percent", "number"), event.is_in(["scroll", "scroll_milestone"]), over="session"),
        "%",
        "How far down a page was read in the latest session, at most",
    ),
    Feature("clicks", count(event == "click", over="session"), "", "Clicks in the latest session"),
    Feature(
        "session_opinion_views",
        count(OPINION, over="session"),
        "",
        "Pages of reviews or of a branch in the latest session",
    ),
    Feature(
        "exit_intents",
        count(event == "exit_intent", over="session"),
        "",
        "Exit intents in the latest session",
    ),
)
RECENCY = (
    Feature("days_since_first", days_since_first(), "days", "Since the visitor was first seen"),
    Feature("days_since_last", days_since(), "days", "Since the visitor's last event"),
    Feature("sessions", sessions(), "", "Sessions, ever: more than one is a return"),
    Feature("sessions_1d", sessions(over="1 d"), "", "Sessions begun today"),
    Feature("sessions_7d", sessions(over="7 d"), "", "Sessions begun within 7 days"),
    Feature("sessions_30d", sessions(over="30 d"), "", "Sessions begun within 30 days"),
    Feature(
        "trend",
        sessions(over="7 d") / sessions(over="30 d"),
        "",
        "Share of the month's sessions that are of its last week",
    ),
    Feature(
        "days_per_session", days_since_first() / sessions(), "days", "Days since the first visit, per session"
    ),
    Feature(
        "pauses_since_last",
        days_since() * sessions() / (days_since_first() + 1.0),
        "",
        "Time since the last event, in usual times between sessions",
    ),
    Feature("days_since_price_check", days_since(PRICE), "days", "Since a price was looked at"),
    Feature("days_since_booking_attempt", days_since(STARTED), "days", "Since a booking was begun"),
)
_SEARCH_ENGINE = (
    field("referrer").contains("google.")
    | field("referrer").contains("bing.")
    | field("referrer").contains("duckduckgo.")
    | field("referrer").contains("//search.")
    | field("referrer").contains("//www.search.")
)
_SOURCES = {
    "paid": field("utm_medium").is_in(
        ["cpc", "ppc", "paid", "paidsearch", "display", "banner", "retargeting"]
    ),
    "email": field("utm_medium").is_in(["email", "newsletter"]),
    "social": field("utm_medium").is_in(["social", "social-media", "paid_social"])
    | field("utm_source").is_in(["facebook", "instagram", "twitter", "tiktok", "linkedin", "pinterest"]),
    "organic": (field("utm_medium") == "organic") | _SEARCH_ENGINE,
    "referral": field("referrer").is_not_null(),
    "direct": None,
}
ORIGIN = (
    Feature(
        "first_source", category(_SOURCES, session="first"), description="Where the first session came from"
    ),
    Feature("source", category(_SOURCES), description="Where the latest session came from"),
    Feature(
        "device",
        category({word: field("device") == word for word in ("desktop", "phone", "tablet")}),
        description="What the latest session was on",
    ),
)
MONEY = (
    Feature("orders", count(ORDER), "", "Orders, ever"),
    Feature("order_value", total(ORDER), "money", "Value of all orders"),
    Feature("average_order", total(ORDER) / count(ORDER), "money", "Value of an order on average"),
    Feature(
        "session_order_value", total(ORDER, over="session"), "money", "Value of the latest session's orders"
    ),
    Feature("orders_30d", count(ORDER, over="30 d"), "", "Orders within 30 days"),
    Feature("days_since_order", days_since(ORDER), "days", "Since the last order"),
    Feature(
        "days_per_order", days_since_first(ORDER) / count(ORDER), "days", "Days as a customer, per order"
    ),
)
FRUSTRATION = (
    Feature("rage_clicks", matches("rage_click"), "", "Rage clicks, ever"),
    Feature(
        "dead_clicks", matches("dead_click", "error_click"), "", "Clicks that did nothing or failed, ever"
    ),
    Feature(
        "abandonments", matches("booking_abandoned", "cart_abandoned"), "", "Bookings and carts left, ever"
    ),
)
ALL = (*BEHAVIOUR, *RECENCY, *ORIGIN, *MONEY, *FRUSTRATION)

lead = ScoreModel(
    "lead",
    "Books within a week",
    features=ALL,
    predict=[at_session_end()],
    label=happens(ORDER, within="7 d"),
    bands={"cold": 0.0, "warm": 0.05, "hot": 0.2},
    challengers=["scaled_logistic"],
)

churn = ScoreModel(
    "churn",
    "A customer stays away for 30 days",
    features=ALL,
    predict=[at_event(ORDER), days_after_last_event(1, 3, 7, 14, 21, 27, once=ORDER)],
    label=stays_away(within="30 d", event=ORDER),
    bands={"low": 0.0, "medium": 0.4, "high": 0.7},
    challengers=["scaled_logistic"],
)

value = ScoreModel(
    "value",
    "What a customer brings within 30 days",
    features=ALL,
    predict=[at_event(ORDER)],
    label=earns(ORDER, within="30 d"),
    bands={"small": 0.0, "middle": 50.0, "large": 200.0},
)
