-- What a restart needs besides: where exactly the open readings lie, and what MQTT clients that asked to be remembered are owed.

ALTER TABLE open_window ADD COLUMN to_ms INTEGER NOT NULL DEFAULT 8796093022208; -- the open readings lie in [from_ms, to_ms)
ALTER TABLE open_window ADD COLUMN times BLOB; -- where they are few and far between: exactly these, ms, as varints of their differences

CREATE TABLE session (           -- MQTT sessions that outlive their connection
  client_id TEXT PRIMARY KEY,
  state     TEXT NOT NULL        -- JSON: subscriptions, expiry
) STRICT, WITHOUT ROWID;

CREATE TABLE session_message (   -- what was published and not yet acknowledged by all of them
  message_id INTEGER PRIMARY KEY,
  topic      TEXT NOT NULL,
  payload    BLOB NOT NULL,
  retain     INTEGER NOT NULL
) STRICT;

CREATE TABLE session_owed (
  client_id  TEXT NOT NULL REFERENCES session ON DELETE CASCADE,
  message_id INTEGER NOT NULL REFERENCES session_message,
  qos        INTEGER NOT NULL,
  PRIMARY KEY (client_id, message_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX session_owed_message ON session_owed (message_id);
