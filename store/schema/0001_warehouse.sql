-- The warehouse. Times are integer epoch milliseconds in columns that end in _ms; values in thousandths end in _m.
-- Readable by SQLite 3.37 and later. Views are in views.sql.

CREATE TABLE meta (
  name  TEXT PRIMARY KEY,   -- created_ms, window_ms, disorder_ms, views
  value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE migration (
  version    INTEGER PRIMARY KEY,
  name       TEXT NOT NULL,
  applied_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE asset (
  asset_id      INTEGER PRIMARY KEY CHECK (asset_id > 0 AND asset_id < 1048576),
  site          TEXT NOT NULL,
  asset         TEXT NOT NULL,
  first_seen_ms INTEGER NOT NULL,
  last_seen_ms  INTEGER NOT NULL,            -- as of the last closed window
  context_ms    INTEGER NOT NULL DEFAULT 0,  -- newest accepted context, 0: none
  UNIQUE (site, asset)
) STRICT;

CREATE TABLE sensor (
  sensor_id     INTEGER PRIMARY KEY CHECK (sensor_id > 0 AND sensor_id < 1048576),
  asset_id      INTEGER NOT NULL REFERENCES asset,
  sensor        TEXT NOT NULL,
  kind          TEXT NOT NULL CHECK (kind IN ('bearing', 'motor', 'brake', 'transformer', 'other')),
  position      TEXT NOT NULL,
  axle          INTEGER NOT NULL,
  side          TEXT NOT NULL,
  period_ms     INTEGER NOT NULL DEFAULT 0,  -- 0: not known yet
  first_seen_ms INTEGER NOT NULL,
  last_seen_ms  INTEGER NOT NULL,            -- as of the last closed window
  evaluated_ms  INTEGER NOT NULL DEFAULT 0,  -- end of the last closed window
  UNIQUE (asset_id, sensor)
) STRICT;

-- The raw rows lead with time, so that a commit touches few pages, and the key refuses a second reading of the same sensor and time.
CREATE TABLE reading (
  key       INTEGER PRIMARY KEY,  -- ts_ms << 20 | sensor_id
  temp_m    INTEGER NOT NULL,
  ambient_m INTEGER,
  speed_m   INTEGER,
  load_m    INTEGER,
  brake     INTEGER,
  seq       INTEGER
) STRICT;

CREATE TABLE reading_flag (   -- QARTOD flags other than good, given when the window closed
  key  INTEGER PRIMARY KEY,
  flag INTEGER NOT NULL CHECK (flag IN (2, 3, 4, 9))
) STRICT;

CREATE TABLE conflicted (     -- readings whose value is in dispute
  key INTEGER PRIMARY KEY
) STRICT;

CREATE TABLE context_reading (
  key       INTEGER PRIMARY KEY,  -- ts_ms << 20 | asset_id
  ambient_m INTEGER,
  speed_m   INTEGER,
  load_m    INTEGER,
  brake     INTEGER
) STRICT;

CREATE TABLE context_conflicted (
  key INTEGER PRIMARY KEY
) STRICT;

CREATE TABLE telemetry_window (
  window_id    INTEGER NOT NULL,   -- start_ms << 20 | sensor_id
  revision     INTEGER NOT NULL,
  sensor_id    INTEGER NOT NULL REFERENCES sensor,
  start_ms     INTEGER NOT NULL,
  end_ms       INTEGER NOT NULL CHECK (end_ms > start_ms),
  n            INTEGER NOT NULL,
  expected     INTEGER NOT NULL,
  completeness REAL NOT NULL,
  verdict      TEXT NOT NULL CHECK (verdict IN ('valid', 'quarantined')),
  closed_by    TEXT NOT NULL,
  /*features*/
  period_ms    INTEGER NOT NULL,
  last_ms      INTEGER NOT NULL,
  closed_ms    INTEGER NOT NULL,   -- wall clock
  memory       BLOB NOT NULL,      -- what the sensor's next window needs of its past
  PRIMARY KEY (window_id, revision)
) STRICT, WITHOUT ROWID;

CREATE INDEX telemetry_window_sensor ON telemetry_window (sensor_id, start_ms, revision);

CREATE TABLE ai_telemetry_predictions (
  window_id   INTEGER NOT NULL,
  revision    INTEGER NOT NULL,
  sensor_id   INTEGER NOT NULL REFERENCES sensor,
  start_ms    INTEGER NOT NULL,
  end_ms      INTEGER NOT NULL,
  p_failure   REAL NOT NULL CHECK (p_failure BETWEEN 0 AND 1),
  level       TEXT NOT NULL CHECK (level IN ('normal', 'watch', 'alarm', 'critical')),
  source      TEXT NOT NULL,
  rule_score  REAL NOT NULL,
  model_id    TEXT NOT NULL,
  explanation TEXT NOT NULL,
  scored_ms   INTEGER NOT NULL,
  hold_level         TEXT NOT NULL,     -- the sensor's alert hold after this window: what its next one needs
  hold_above         INTEGER NOT NULL,
  hold_below         INTEGER NOT NULL,
  hold_alert         TEXT NOT NULL,
  hold_worst         TEXT NOT NULL,
  hold_raised_at_ms  INTEGER NOT NULL,
  hold_free_since_ms INTEGER NOT NULL,
  hold_last_end_ms   INTEGER NOT NULL,
  PRIMARY KEY (window_id, revision),
  FOREIGN KEY (window_id, revision) REFERENCES telemetry_window
) STRICT, WITHOUT ROWID;

CREATE INDEX ai_telemetry_predictions_sensor ON ai_telemetry_predictions (sensor_id, start_ms, revision);

CREATE TABLE shadow_prediction (
  window_id INTEGER NOT NULL,
  revision  INTEGER NOT NULL,
  model_id  TEXT NOT NULL,
  p_failure REAL NOT NULL CHECK (p_failure BETWEEN 0 AND 1),
  PRIMARY KEY (window_id, revision, model_id),
  FOREIGN KEY (window_id, revision) REFERENCES telemetry_window
) STRICT, WITHOUT ROWID;

CREATE TABLE quarantine_window (
  window_id   INTEGER NOT NULL,
  revision    INTEGER NOT NULL,
  sensor_id   INTEGER NOT NULL REFERENCES sensor,
  start_ms    INTEGER NOT NULL,
  end_ms      INTEGER NOT NULL,
  reasons     TEXT NOT NULL,       -- JSON array of codes
  detail      TEXT NOT NULL,
  released_ms INTEGER,
  PRIMARY KEY (window_id, revision),
  FOREIGN KEY (window_id, revision) REFERENCES telemetry_window
) STRICT, WITHOUT ROWID;

CREATE TABLE quarantine_message (
  message_id  INTEGER PRIMARY KEY,
  received_ms INTEGER NOT NULL,
  topic       TEXT NOT NULL,
  client_id   TEXT NOT NULL,
  payload     BLOB NOT NULL,       -- cut to the evidence limit
  element     INTEGER NOT NULL,    -- position in an array, -1: the whole message
  reason      TEXT NOT NULL,
  detail      TEXT NOT NULL,
  released_ms INTEGER
) STRICT;

CREATE INDEX quarantine_message_reason ON quarantine_message (reason, client_id);

CREATE TABLE late_reading (
  late_id     INTEGER PRIMARY KEY,
  asset_id    INTEGER NOT NULL REFERENCES asset,
  sensor_id   INTEGER REFERENCES sensor,  -- NULL: a late context
  ts_ms       INTEGER NOT NULL,
  received_ms INTEGER NOT NULL,
  temp_c      REAL,
  ambient_c   REAL,
  speed_kmh   REAL,
  load_t      REAL,
  brake       INTEGER,
  seq         INTEGER,
  reason      TEXT NOT NULL
) STRICT;

CREATE TABLE alert (
  alert_id        TEXT PRIMARY KEY,
  sensor_id       INTEGER NOT NULL REFERENCES sensor,
  site            TEXT NOT NULL,
  asset           TEXT NOT NULL,
  sensor          TEXT NOT NULL,
  state           TEXT NOT NULL,
  severity        TEXT NOT NULL CHECK (severity IN ('normal', 'watch', 'alarm', 'critical')),
  raised_at_ms    INTEGER NOT NULL,
  updated_at_ms   INTEGER NOT NULL,
  p_failure       REAL,
  value           REAL,            -- degC
  rule            TEXT NOT NULL,
  reason          TEXT NOT NULL,
  explanation     TEXT NOT NULL,
  window_id       INTEGER NOT NULL,
  window_start_ms INTEGER NOT NULL,
  window_end_ms   INTEGER NOT NULL,
  model_id        TEXT NOT NULL,
  ack_by          TEXT,
  ack_at_ms       INTEGER,
  ack_note        TEXT
) STRICT, WITHOUT ROWID;

CREATE INDEX alert_updated ON alert (updated_at_ms);

CREATE TABLE alert_event (
  event_id      INTEGER PRIMARY KEY,
  alert_id      TEXT NOT NULL REFERENCES alert,
  sensor_id     INTEGER NOT NULL REFERENCES sensor,
  window_id     INTEGER,           -- NULL: no window made it
  revision      INTEGER,
  at_ms         INTEGER NOT NULL,  -- event time
  kind          TEXT NOT NULL,
  from_severity TEXT NOT NULL,
  to_severity   TEXT NOT NULL,
  state         TEXT NOT NULL,     -- the alert's state after it
  cause         TEXT NOT NULL,
  actor         TEXT NOT NULL,
  recorded_ms   INTEGER NOT NULL,  -- wall clock
  FOREIGN KEY (window_id, revision) REFERENCES telemetry_window
) STRICT;

CREATE INDEX alert_event_alert ON alert_event (alert_id, event_id);

CREATE TABLE outbox (
  outbox_id INTEGER PRIMARY KEY AUTOINCREMENT,
  topic     TEXT NOT NULL,
  payload   BLOB NOT NULL,
  retain    INTEGER NOT NULL,
  commit_id INTEGER NOT NULL
) STRICT;

CREATE TABLE model (
  model_id   TEXT PRIMARY KEY,     -- content hash
  name       TEXT NOT NULL,
  trained_ms INTEGER NOT NULL,
  features   TEXT NOT NULL,        -- JSON: names and units in order
  metrics    TEXT NOT NULL,        -- JSON
  state      TEXT NOT NULL CHECK (state IN ('active', 'shadow', 'retired'))
) STRICT, WITHOUT ROWID;

CREATE TABLE commit_log (
  commit_id    INTEGER PRIMARY KEY,
  committed_ms INTEGER NOT NULL,
  messages     INTEGER NOT NULL,
  received     INTEGER NOT NULL,
  stored       INTEGER NOT NULL,   -- readings and contexts
  duplicate    INTEGER NOT NULL,
  late         INTEGER NOT NULL,
  refused      INTEGER NOT NULL,
  expired      INTEGER NOT NULL
) STRICT;

CREATE TABLE commit_total (       -- rows of commit_log older than a day, by UTC day
  day_ms    INTEGER PRIMARY KEY,
  commits   INTEGER NOT NULL,
  messages  INTEGER NOT NULL,
  received  INTEGER NOT NULL,
  stored    INTEGER NOT NULL,
  duplicate INTEGER NOT NULL,
  late      INTEGER NOT NULL,
  refused   INTEGER NOT NULL,
  expired   INTEGER NOT NULL
) STRICT;

CREATE TABLE ledger (
  counter TEXT NOT NULL,
  reason  TEXT NOT NULL,
  value   INTEGER NOT NULL,
  PRIMARY KEY (counter, reason)
) STRICT, WITHOUT ROWID;

CREATE TABLE open_window (        -- sensors with readings that are in no closed window yet
  sensor_id INTEGER PRIMARY KEY REFERENCES sensor,
  from_ms   INTEGER NOT NULL
) STRICT;
