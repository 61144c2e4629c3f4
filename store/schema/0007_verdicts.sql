-- What workshops found: the labels that models are trained and measured by. People tell them by hand: they are few, added to and never changed, and nothing of them expires.

CREATE TABLE verdict (
  site        TEXT NOT NULL,     -- names and not ids: a workshop may know a sensor that has not sent anything yet
  asset       TEXT NOT NULL,
  sensor      TEXT NOT NULL,
  ts_ms       INTEGER NOT NULL,  -- when it was found
  revision    INTEGER NOT NULL,  -- the highest of a sensor and time holds
  finding     TEXT NOT NULL CHECK (finding IN ('failed', 'faulty', 'sensor_fault', 'sound', 'withdrawn')),
  since_ms    INTEGER,           -- since when it has been so; NULL: not known
  component   TEXT NOT NULL,
  found_by    TEXT NOT NULL,
  note        TEXT NOT NULL,
  reference   TEXT NOT NULL,     -- the workshop's own id
  recorded_ms INTEGER NOT NULL,  -- wall clock of the commit
  PRIMARY KEY (site, asset, sensor, ts_ms, revision)
) STRICT, WITHOUT ROWID;

CREATE INDEX verdict_ts ON verdict (ts_ms);
