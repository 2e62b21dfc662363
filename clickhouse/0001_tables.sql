-- The tables that a run fills. Sort and partition keys hold only what a row's id fixes, so that a row that is
-- written again replaces itself. Read them with FINAL, or with the setting final = 1.

-- Every event that was matched, one row to a visitor, time and message.
CREATE TABLE IF NOT EXISTS events
(
    message_id String CODEC(ZSTD(1)),
    visitor_id String CODEC(ZSTD(1)),
    user_id Nullable(String) CODEC(ZSTD(1)),
    event LowCardinality(String),
    event_original LowCardinality(String),
    event_time DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    event_time_sent DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    arrival_time Nullable(DateTime64(3, 'UTC')) CODEC(Delta(8), ZSTD(1)),
    source_partition LowCardinality(String),
    source_offset Int64 CODEC(Delta, ZSTD(1)),
    url Nullable(String) CODEC(ZSTD(1)),
    path Nullable(String) CODEC(ZSTD(1)),
    referrer Nullable(String) CODEC(ZSTD(1)),
    utm_source LowCardinality(Nullable(String)),
    utm_medium LowCardinality(Nullable(String)),
    utm_campaign LowCardinality(Nullable(String)),
    utm_term LowCardinality(Nullable(String)),
    utm_content LowCardinality(Nullable(String)),
    element Nullable(String),
    x Nullable(Int32),
    y Nullable(Int32),
    value Nullable(Int64),
    currency LowCardinality(Nullable(String)),
    properties String CODEC(ZSTD(1)),
    late Bool,
    clock_capped Bool,
    bot Bool
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(event_time)
ORDER BY (visitor_id, event_time, message_id);

-- Events that came after their partition's watermark: stored and counted, not matched.
CREATE TABLE IF NOT EXISTS late_events
(
    message_id String CODEC(ZSTD(1)),
    visitor_id String CODEC(ZSTD(1)),
    user_id Nullable(String) CODEC(ZSTD(1)),
    event LowCardinality(String),
    event_original LowCardinality(String),
    event_time DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    event_time_sent DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    arrival_time Nullable(DateTime64(3, 'UTC')) CODEC(Delta(8), ZSTD(1)),
    source_partition LowCardinality(String),
    source_offset Int64 CODEC(Delta, ZSTD(1)),
    url Nullable(String) CODEC(ZSTD(1)),
    path Nullable(String) CODEC(ZSTD(1)),
    referrer Nullable(String) CODEC(ZSTD(1)),
    utm_source LowCardinality(Nullable(String)),
    utm_medium LowCardinality(Nullable(String)),
    utm_campaign LowCardinality(Nullable(String)),
    utm_term LowCardinality(Nullable(String)),
    utm_content LowCardinality(Nullable(String)),
    element Nullable(String),
    x Nullable(Int32),
    y Nullable(Int32),
    value Nullable(Int64),
    currency LowCardinality(Nullable(String)),
    properties String CODEC(ZSTD(1)),
    late Bool,
    clock_capped Bool,
    bot Bool
)
ENGINE = ReplacingMergeTree
ORDER BY (source_partition, source_offset, visitor_id, event_time, message_id);

-- One row to a session; the highest revision stands.
CREATE TABLE IF NOT EXISTS sessions
(
    session_id String CODEC(ZSTD(1)),
    visitor_id String CODEC(ZSTD(1)),
    user_id Nullable(String) CODEC(ZSTD(1)),
    start_time DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    end_time DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    duration_ms Int64,
    events Int64,
    page_views Int64,
    clicks Int64,
    conversions Int64,
    distinct_pages Int64,
    longest_idle_ms Int64,
    bounce Bool,
    entry_page Nullable(String) CODEC(ZSTD(1)),
    exit_page Nullable(String) CODEC(ZSTD(1)),
    referrer Nullable(String) CODEC(ZSTD(1)),
    utm_source LowCardinality(Nullable(String)),
    utm_medium LowCardinality(Nullable(String)),
    utm_campaign LowCardinality(Nullable(String)),
    utm_term LowCardinality(Nullable(String)),
    utm_content LowCardinality(Nullable(String)),
    value Int64,
    currency LowCardinality(Nullable(String)),
    mixed_currencies Bool,
    at_end Bool,
    status LowCardinality(String),
    revision UInt32
)
ENGINE = ReplacingMergeTree(revision)
PARTITION BY toYYYYMM(start_time)
ORDER BY (start_time, session_id);

-- One row to a match of a pattern; the highest revision stands.
CREATE TABLE IF NOT EXISTS matches
(
    match_id String CODEC(ZSTD(1)),
    pattern LowCardinality(String),
    pattern_version LowCardinality(String),
    visitor_id String CODEC(ZSTD(1)),
    first_time DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    last_time DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    settled_time DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    stages String CODEC(ZSTD(1)),
    ordinal UInt32,
    at_end Bool,
    status LowCardinality(String),
    revision UInt32
)
ENGINE = ReplacingMergeTree(revision)
PARTITION BY toYYYYMM(first_time)
ORDER BY (pattern, first_time, match_id);

-- Records that could not be decoded, with the reason and the bytes.
CREATE TABLE IF NOT EXISTS dead_letters
(
    source_partition LowCardinality(String),
    source_offset Int64 CODEC(Delta, ZSTD(1)),
    source LowCardinality(String),
    line Int64 CODEC(Delta, ZSTD(1)),
    reason LowCardinality(String),
    detail String CODEC(ZSTD(1)),
    bytes String CODEC(ZSTD(1)),
    bytes_total Int64,
    digest String CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
ORDER BY (source_partition, source_offset, digest);
