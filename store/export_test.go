package store

import (
	"time"

	"github.com/ncruces/go-sqlite3"
)

// SetPragmas is setPragmas.
func SetPragmas(c *sqlite3.Conn) error { return setPragmas(c, time.Second) }

// Forget makes the DB believe that the newest commit was id, as after an answer that was lost.
func (db *DB) Forget(id int64) { db.last.Store(id) }

// Writer gives the writing connection.
func (db *DB) Writer() *sqlite3.Conn { return db.w.c }

// OfOneSensor are the statements that look for windows and predictions of one sensor.
func OfOneSensor() []string { return []string{newestHoldSQL, holdSQL, steadySQL, windowNeeds} }

// CutText is cutText.
func CutText(s string) string { return cutText(s) }

// NameBytes is nameBytes.
const NameBytes = nameBytes

// SyncFailed is how the failure of a sync that did not go through SQLite is judged.
func SyncFailed(err error) error { return classify(unsynced(err)) }
