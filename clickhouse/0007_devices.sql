-- What the user agent says of an event's device (desktop, phone, tablet) and browser.
ALTER TABLE events ADD COLUMN IF NOT EXISTS device LowCardinality(Nullable(String));
ALTER TABLE events ADD COLUMN IF NOT EXISTS browser LowCardinality(Nullable(String));
ALTER TABLE late_events ADD COLUMN IF NOT EXISTS device LowCardinality(Nullable(String));
ALTER TABLE late_events ADD COLUMN IF NOT EXISTS browser LowCardinality(Nullable(String));
