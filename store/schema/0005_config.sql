-- Every change of the configuration that decides what becomes of readings: which was in force when a window closed is told by its commit.

CREATE TABLE config_change (
  change_id  INTEGER PRIMARY KEY,
  commit_id  INTEGER NOT NULL,    -- the windows closed in this commit and in later ones follow the new configuration
  at_ms      INTEGER NOT NULL,    -- wall clock
  who        TEXT NOT NULL,       -- file: the sensors file or the program's settings
  old_digest TEXT NOT NULL,       -- SHA-256 of the configuration before, empty: none is known
  new_digest TEXT NOT NULL,       -- and of the one from then on
  what       TEXT NOT NULL        -- in words
) STRICT;
