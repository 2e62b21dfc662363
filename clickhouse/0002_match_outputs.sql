-- What a pattern computes of a match's events, as JSON ("" where the pattern has no outputs).
ALTER TABLE matches ADD COLUMN IF NOT EXISTS outputs String DEFAULT '';
