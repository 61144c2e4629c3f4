-- Alerts that are not of one sensor, and alerts that no window made. An alert of an asset has sensor_id NULL and the sensor name _asset, one of a site the asset and
-- sensor names _site. window_id is NULL where no window moved the alert. Neither can be had without making both tables anew.

CREATE TABLE alert_4 (
  alert_id        TEXT PRIMARY KEY,
  sensor_id       INTEGER REFERENCES sensor, -- NULL: of an asset or a site
  site            TEXT NOT NULL,
  asset           TEXT NOT NULL,             -- _site: of the whole site
  sensor          TEXT NOT NULL,             -- _asset: of the whole asset, _site: of the whole site
  state           TEXT NOT NULL,
  severity        TEXT NOT NULL CHECK (severity IN ('normal', 'watch', 'alarm', 'critical')),
  raised_at_ms    INTEGER NOT NULL,
  updated_at_ms   INTEGER NOT NULL,
  p_failure       REAL,
  value           REAL,            -- degC
  rule            TEXT NOT NULL,
  reason          TEXT NOT NULL,
  explanation     TEXT NOT NULL,
  window_id       INTEGER,         -- NULL: no window moved it
  window_start_ms INTEGER NOT NULL,
  window_end_ms   INTEGER NOT NULL,
  model_id        TEXT NOT NULL,
  ack_by          TEXT,
  ack_at_ms       INTEGER,
  ack_note        TEXT
) STRICT, WITHOUT ROWID;

INSERT INTO alert_4 SELECT alert_id, sensor_id, site, asset, sensor, state, severity, raised_at_ms, updated_at_ms, p_failure, value, rule, reason, explanation,
  window_id, window_start_ms, window_end_ms, model_id, ack_by, ack_at_ms, ack_note FROM alert;

CREATE TABLE alert_event_4 (
  event_id      INTEGER PRIMARY KEY,
  alert_id      TEXT NOT NULL REFERENCES alert_4,
  sensor_id     INTEGER REFERENCES sensor, -- NULL: of an asset or a site
  window_id     INTEGER,           -- NULL: no window made it
  revision      INTEGER,
  at_ms         INTEGER NOT NULL,  -- event time; of silence the wall clock
  kind          TEXT NOT NULL,
  from_severity TEXT NOT NULL,
  to_severity   TEXT NOT NULL,
  state         TEXT NOT NULL,     -- the alert's state after it
  cause         TEXT NOT NULL,
  actor         TEXT NOT NULL,
  recorded_ms   INTEGER NOT NULL,  -- wall clock
  FOREIGN KEY (window_id, revision) REFERENCES telemetry_window
) STRICT;

INSERT INTO alert_event_4 SELECT event_id, alert_id, sensor_id, window_id, revision, at_ms, kind, from_severity, to_severity, state, cause, actor, recorded_ms FROM alert_event;

DROP TABLE alert_event;
DROP TABLE alert;
ALTER TABLE alert_4 RENAME TO alert;
ALTER TABLE alert_event_4 RENAME TO alert_event;

CREATE INDEX alert_updated ON alert (updated_at_ms);
CREATE INDEX alert_window ON alert (window_id);
CREATE INDEX alert_standing ON alert (alert_id) WHERE state <> 'cleared';
CREATE INDEX alert_event_alert ON alert_event (alert_id, event_id);
CREATE INDEX alert_event_window ON alert_event (window_id, revision);

-- The asset's fail-safe after its last closed windows: which of the last 20 were quarantined by their own verdict, how many there are, whether it is open (stream/failsafe.go).
ALTER TABLE asset ADD COLUMN failsafe INTEGER NOT NULL DEFAULT 0;
