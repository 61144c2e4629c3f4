-- The rule on the rate of rise waits for a steady speed: what a sensor's next window needs of the ones before it, as model.Hold says.

ALTER TABLE ai_telemetry_predictions ADD COLUMN hold_steady_since_ms INTEGER NOT NULL DEFAULT -1; -- -1: from before these columns; the windows tell
ALTER TABLE ai_telemetry_predictions ADD COLUMN hold_steady_kmh REAL NOT NULL DEFAULT 0;
ALTER TABLE ai_telemetry_predictions ADD COLUMN hold_rate_k_per_min REAL NOT NULL DEFAULT 0;
