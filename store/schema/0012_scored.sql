-- Predictions are found through the windows that they are of: an index of their own, led by the sensor, cost a page of 4 kB a window in the log, and again in the file. So that a sensor whose windows are in
-- quarantine for days is not searched through, it is kept where its newest prediction can be.

ALTER TABLE sensor ADD COLUMN scored_ms INTEGER NOT NULL DEFAULT -1; -- start of its newest window with a prediction; -1: none had one
UPDATE sensor SET scored_ms = COALESCE((SELECT max(p.start_ms) FROM ai_telemetry_predictions p WHERE p.sensor_id = sensor.sensor_id), -1);

DROP INDEX ai_telemetry_predictions_sensor;
