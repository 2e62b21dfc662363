-- What trigger rules decided of matches, one row to a trigger; the highest revision stands. Only those whose status is
-- fired or retracted were sent; the others say why not. evidence, fields and scores are JSON.
CREATE TABLE IF NOT EXISTS triggers
(
    trigger_id String CODEC(ZSTD(1)),
    rule LowCardinality(String),
    rule_version LowCardinality(String),
    pattern LowCardinality(String),
    pattern_version LowCardinality(String),
    match_id String CODEC(ZSTD(1)),
    visitor_id String CODEC(ZSTD(1)),
    user_id Nullable(String) CODEC(ZSTD(1)),
    session_id Nullable(String) CODEC(ZSTD(1)),
    event_time DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    due_time DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    expires_time DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    topic LowCardinality(String),
    action LowCardinality(String),
    evidence String CODEC(ZSTD(1)),
    fields String CODEC(ZSTD(1)),
    scores String CODEC(ZSTD(1)),
    status LowCardinality(String),
    revision UInt32,
    decided_time DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(revision)
PARTITION BY toYYYYMM(event_time)
ORDER BY (rule, event_time, trigger_id);
