"""The shipped model of churn, with what retail orders have: a prediction at each order, and a horizon of 90 days."""

from dataclasses import replace

from footfall.scoring.score_model import at_event, stays_away
from patterns import lifecycle
from patterns import scores as shipped

inactive = lifecycle.customer_inactive(within="90 d")
churn = replace(
    shipped.churn,
    predict=[at_event(shipped.ORDER)],
    label=stays_away(within="90 d", event=shipped.ORDER),
    challengers=(),
)
