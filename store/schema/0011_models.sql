-- The registry of models: what is in force, the trial that let it, and who said so. The audit is made anew, with models beside evidence; what may stand in action and outcome is
-- proven by cidp verify, so that the next thing people do needs no new table.

ALTER TABLE model ADD COLUMN trial TEXT; -- JSON: the trial that was counted when it was moved last, NULL: none

DROP TRIGGER audit_stands;
DROP TRIGGER audit_stays;

CREATE TABLE audit_7 (
  audit_id   INTEGER PRIMARY KEY,
  commit_id  INTEGER NOT NULL,  -- in which it happened; of a model the first one that is scored so
  at_ms      INTEGER NOT NULL,  -- wall clock; released_ms of the evidence
  actor      TEXT NOT NULL,
  action     TEXT NOT NULL,     -- release; activate, shadow, retire; start: the program did it by itself
  message_id INTEGER,           -- of quarantine_message, which may have expired since
  window_id  INTEGER,           -- of quarantine_window, likewise
  revision   INTEGER,           -- of the window that was put back
  outcome    TEXT NOT NULL,     -- released, refused, quarantined, kept; of a model its state from then on: active, shadow, retired
  detail     TEXT NOT NULL,     -- in words
  note       TEXT NOT NULL,     -- the actor's own
  model_id   TEXT REFERENCES model,
  CHECK ((message_id IS NOT NULL) + (window_id IS NOT NULL) + (model_id IS NOT NULL) <= 1 AND (window_id IS NULL) = (revision IS NULL))
) STRICT;

INSERT INTO audit_7 SELECT audit_id, commit_id, at_ms, actor, action, message_id, window_id, revision, outcome, detail, note, NULL FROM audit;
DROP TABLE audit;
ALTER TABLE audit_7 RENAME TO audit;

CREATE INDEX audit_message ON audit (message_id) WHERE message_id IS NOT NULL;
CREATE INDEX audit_window ON audit (window_id, revision) WHERE window_id IS NOT NULL;
CREATE INDEX audit_model ON audit (model_id, audit_id) WHERE model_id IS NOT NULL;

CREATE TRIGGER audit_stands BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'the audit is only added to'); END;
CREATE TRIGGER audit_stays BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'the audit is only added to'); END;

-- Until now a model was active because the program was started with it. None had a trial: the next start says which may be live.
INSERT INTO ledger SELECT 'audit', 'active', count(*) FROM model HAVING count(*) > 0 ON CONFLICT (counter, reason) DO UPDATE SET value = value + excluded.value;
INSERT INTO ledger SELECT 'audit', 'shadow', count(*) FROM model WHERE state = 'active' HAVING count(*) > 0 ON CONFLICT (counter, reason) DO UPDATE SET value = value + excluded.value;
INSERT INTO ledger SELECT 'audit', 'retired', count(*) FROM model WHERE state <> 'active' HAVING count(*) > 0 ON CONFLICT (counter, reason) DO UPDATE SET value = value + excluded.value;
UPDATE model SET state = CASE state WHEN 'active' THEN 'shadow' ELSE 'retired' END;
INSERT INTO audit (commit_id, at_ms, actor, action, outcome, detail, note, model_id)
  SELECT (SELECT COALESCE(max(commit_id), 0) + 1 FROM commit_log), (SELECT COALESCE(max(committed_ms), 0) FROM commit_log), 'line', 'start', o.outcome,
  'it is from before models had trials', '', m.model_id
  FROM model m JOIN (SELECT 1 AS turn, 'active' AS outcome UNION ALL SELECT 2, 'shadow' UNION ALL SELECT 2, 'retired') o ON o.turn = 1 OR o.outcome = m.state
  ORDER BY m.model_id, o.turn;

-- The rules of physics stand here for the predictions that they make alone: active while no forest is.
INSERT OR IGNORE INTO model (model_id, name, trained_ms, features, metrics, state) VALUES ('rules', 'rules of physics', 0, '[]', '{}', 'active');
