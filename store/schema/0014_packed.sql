-- Raw rows of large commits, many in a row of the table: a flood or a backlog costs a fraction of what single rows would. What comes at an everyday rate goes on as single rows in "reading".
-- The view telemetry shows both.

CREATE TABLE reading_packed (
  first    INTEGER PRIMARY KEY, -- key of its first reading: ts_ms << 20 | sensor_id
  last     INTEGER NOT NULL,    -- key of its last one, less than 2048 ms behind the first
  n        INTEGER NOT NULL,    -- readings
  readings TEXT NOT NULL        -- JSON: [[ms after the first, sensor_id, temp_m, ambient_m, speed_m, load_m, brake, seq], ...] in the order of their keys; null is absent, and left out at the end
) STRICT;
