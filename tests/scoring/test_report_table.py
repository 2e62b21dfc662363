import io

from rich.console import Console

from footfall.scoring.report_table import report_table

LEAD = {
    "champion": "one",
    "predictions": 1_234,
    "labels": {"another": 900, "one": 1_000},
    "quality": {"one": {"roc_auc": 0.75, "log_loss": 0.2}, "another": {"roc_auc": 0.7}},
}
VALUE = {"champion": "mean", "predictions": 3, "labels": {"mean": 0}, "quality": {}}


def test_the_champion_comes_first_and_what_isnt_known_is_a_dash() -> None:
    table = report_table({"value": VALUE, "lead": LEAD})
    out = io.StringIO()
    assert table is not None
    Console(file=out, width=200).print(table)
    assert [" ".join(line.split()) for line in out.getvalue().splitlines()] == [
        "model learner predictions labels learnt ROC AUC log loss",
        "lead one (champion) 1,234 1,000 0.750 0.200",
        "another 1,234 900 0.700 -",
        "value mean 3 0 - -",
    ]


def test_without_predictions_there_is_no_table() -> None:
    assert report_table({}) is None
    assert report_table({"value": {**VALUE, "predictions": 0}}) is None
