-- The patterns and trigger rules of live runs, one row to a control record: in force for events at from_time or later, or
-- always where it is NULL. patterns and rules are JSON lists, deployed is a JSON object. Of rows of one number that written
-- last counts, and a row ends what rows of higher numbers written before it said.
CREATE TABLE IF NOT EXISTS controls
(
    number UInt32,
    from_time Nullable(DateTime64(3, 'UTC')) CODEC(Delta, ZSTD(1)),
    digest String CODEC(ZSTD(1)),
    patterns String CODEC(ZSTD(1)),
    rules String CODEC(ZSTD(1)),
    deployed String CODEC(ZSTD(1)),
    written_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(written_at)
ORDER BY (number, digest);
