-- How the features and scores of a model's windows are spread, counted by the hour of event time: what is compared with training, kept so that a start need not read a week of windows.

CREATE TABLE drift_bucket (
  model_id TEXT NOT NULL REFERENCES model,
  start_ms INTEGER NOT NULL,  -- event time
  counts   BLOB NOT NULL,     -- model.Drift's
  PRIMARY KEY (model_id, start_ms)
) STRICT, WITHOUT ROWID;
