-- What models say of visitors, where it has changed enough to be told; the highest revision stands. score is 0 to 100,
-- predicted the probability (or, for models of money, what is expected). reasons is a JSON list of texts.
CREATE TABLE IF NOT EXISTS scores
(
    score_id String CODEC(ZSTD(1)),
    model LowCardinality(String),
    visitor_id String CODEC(ZSTD(1)),
    user_id Nullable(String) CODEC(ZSTD(1)),
    session_id Nullable(String) CODEC(ZSTD(1)),
    time DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    moment LowCardinality(String),
    score Float64,
    predicted Float64,
    band LowCardinality(String),
    learner LowCardinality(String),
    model_version Int64,
    reasons String CODEC(ZSTD(1)),
    change Nullable(Float64),
    status LowCardinality(String),
    revision UInt32
)
ENGINE = ReplacingMergeTree(revision)
PARTITION BY toYYYYMM(time)
ORDER BY (model, time, score_id);
-- What each learner of a model predicted, and from what: features is a JSON list in the order of the model's features,
-- empty but for the champion's row.
CREATE TABLE IF NOT EXISTS predictions
(
    prediction_id String CODEC(ZSTD(1)),
    model LowCardinality(String),
    learner LowCardinality(String),
    champion Bool,
    model_version Int64,
    visitor_id String CODEC(ZSTD(1)),
    user_id Nullable(String) CODEC(ZSTD(1)),
    session_id Nullable(String) CODEC(ZSTD(1)),
    time DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    moment LowCardinality(String),
    predicted Float64,
    features String CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(time)
ORDER BY (model, learner, time, prediction_id);
-- What came of predictions: 1 or 0, or money in units.
CREATE TABLE IF NOT EXISTS outcomes
(
    prediction_id String CODEC(ZSTD(1)),
    model LowCardinality(String),
    label_time DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    outcome Float64
)
ENGINE = ReplacingMergeTree
ORDER BY (model, prediction_id);
-- How good each learner of a model was over its last labels (window of them), by what it had predicted before.
CREATE TABLE IF NOT EXISTS model_quality
(
    model LowCardinality(String),
    learner LowCardinality(String),
    time DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    champion Bool,
    model_version Int64,
    labels Int64,
    positives Int64,
    window Int64,
    roc_auc Nullable(Float64),
    pr_auc Nullable(Float64),
    log_loss Nullable(Float64),
    brier Nullable(Float64),
    ece Nullable(Float64),
    precision_top10 Nullable(Float64),
    lift_top10 Nullable(Float64),
    mean_absolute_error Nullable(Float64),
    drifts Int64
)
ENGINE = ReplacingMergeTree
ORDER BY (model, learner, time);
