"""The picture of an evaluation: one HTML page that needs no network, with ROC curve, calibration and AUC over time."""

from datetime import UTC, datetime
from html import escape

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from footfall.scoring import quality
from footfall.scoring.evaluate_run import Evaluation
from footfall.scoring.evaluate_table import LabelledTable

_LINE, _GUIDE, _BAR = "#1f5a99", "#999999", "#c9d8e8"
_MOST_POINTS = 1_000

_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>
body {{ font: 15px system-ui, sans-serif; margin: 2em; color: #222 }}
dl {{ display: flex; flex-wrap: wrap; gap: 0.5em 2em }} dt {{ color: #666 }} dd {{ margin: 0; font-weight: 600 }}
</style></head><body><h1>{title}</h1><p>Each row was predicted first and learnt afterwards, in file order.</p>
<dl>{figures}</dl>{picture}</body></html>
"""


def picture(done: Evaluation, table: LabelledTable, title: str) -> str:
    """The page."""
    figures = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{_told(value)}</dd></div>" for name, value in done.figures.items()
    )
    drawn = _figure(done, table).to_html(
        full_html=False, include_plotlyjs=True, config={"displaylogo": False}
    )
    return _PAGE.format(title=escape(title), figures=figures, picture=drawn)


def _told(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"


def _figure(done: Evaluation, table: LabelledTable) -> go.Figure:
    figure = make_subplots(
        rows=1, cols=3, subplot_titles=("ROC curve", "Calibration", "ROC AUC over time"), horizontal_spacing=0.08,
        specs=[[{}, {"secondary_y": True}, {}]],
    )  # fmt: skip
    roc = quality.roc_curve(done.predicted, done.labels)
    if roc is not None:
        keep = np.unique(np.linspace(0, roc.x.size - 1, _MOST_POINTS).astype(np.int64))
        _line(figure, roc.x[keep].tolist(), roc.y[keep].tolist(), 1, "ROC")
    _guide(figure, 1)
    curve = quality.calibration_curve(done.predicted, done.labels)
    bars = go.Bar(
        x=curve.predicted.tolist(),
        y=curve.rows.tolist(),
        name="rows",
        marker_color=_BAR,
        opacity=0.6,
        width=0.05,
    )
    figure.add_trace(bars, row=1, col=2, secondary_y=True)
    _line(figure, curve.predicted.tolist(), curve.happened.tolist(), 2, "calibration")
    _guide(figure, 2)
    windows = [window for window in done.auc_over_time if window.figure is not None]
    _line(figure, _times(done, table, windows), [window.figure for window in windows], 3, "AUC")
    figure.update_xaxes(title_text="share of negatives", range=[0, 1], row=1, col=1)
    figure.update_yaxes(title_text="share of positives", range=[0, 1.01], row=1, col=1)
    figure.update_xaxes(title_text="predicted", range=[0, 1], row=1, col=2)
    figure.update_yaxes(title_text="happened", range=[0, 1.01], row=1, col=2, secondary_y=False)
    figure.update_yaxes(title_text="rows", showgrid=False, row=1, col=2, secondary_y=True)
    figure.update_xaxes(title_text="row" if table.times is None else "time", row=1, col=3)
    figure.update_layout(showlegend=False, height=460, template="plotly_white", margin={"t": 60})
    return figure


def _line(figure: go.Figure, x: list[object], y: list[object], column: int, name: str) -> None:
    line = go.Scatter(x=x, y=y, mode="lines" if column == 1 else "lines+markers", name=name, line_color=_LINE)
    figure.add_trace(line, row=1, col=column)


def _guide(figure: go.Figure, column: int) -> None:
    line = go.Scatter(
        x=[0, 1], y=[0, 1], mode="lines", line={"color": _GUIDE, "dash": "dot"}, hoverinfo="skip"
    )
    figure.add_trace(line, row=1, col=column)


def _times(done: Evaluation, table: LabelledTable, windows: list[quality.Window]) -> list[object]:
    """Where each window ends: its last row's number, or time."""
    last = [int(done.order[window.end - 1]) for window in windows]
    if table.times is None:
        return [row + 1 for row in last]
    times = [float(table.times[row]) for row in last]
    if not table.times_are_dates:
        return list(times)
    return [datetime.fromtimestamp(time / 1000, UTC).isoformat() for time in times]
