-- What people did: who put what back from quarantine, when, why, and what became of it. Rows are added and never changed.

CREATE TABLE audit (
  audit_id   INTEGER PRIMARY KEY,
  commit_id  INTEGER NOT NULL,  -- in which it happened
  at_ms      INTEGER NOT NULL,  -- wall clock; released_ms of the evidence
  actor      TEXT NOT NULL,
  action     TEXT NOT NULL CHECK (action IN ('release')),
  message_id INTEGER,           -- of quarantine_message, which may have expired since
  window_id  INTEGER,           -- of quarantine_window, likewise
  revision   INTEGER,           -- of the window that was put back
  outcome    TEXT NOT NULL CHECK (outcome IN ('released', 'refused', 'quarantined', 'kept')),
  detail     TEXT NOT NULL,     -- in words
  note       TEXT NOT NULL,     -- the actor's own
  CHECK ((message_id IS NULL) <> (window_id IS NULL) AND (window_id IS NULL) = (revision IS NULL))
) STRICT;

CREATE INDEX audit_message ON audit (message_id) WHERE message_id IS NOT NULL;
CREATE INDEX audit_window ON audit (window_id, revision) WHERE window_id IS NOT NULL;

CREATE TRIGGER audit_stands BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'the audit is only added to'); END;
CREATE TRIGGER audit_stays BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'the audit is only added to'); END;
