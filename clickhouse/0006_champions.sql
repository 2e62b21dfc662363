-- champions is a JSON object: the models of scores whose champion was promoted, and the learner that it is.
ALTER TABLE controls ADD COLUMN IF NOT EXISTS champions String DEFAULT '{}' CODEC(ZSTD(1));
