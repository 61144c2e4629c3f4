package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/camrail/cidp/stream"
)

// TestCrashWhileMigrating gives the program a database of the first schema, as an earlier version left it with open windows, kills it within the migration and within the
// recovery that follows, and goes on.
func TestCrashWhileMigrating(t *testing.T) {
	noRace(t)
	run, p := killedAfter(t, 2000)
	firstSchema(t, p.database())
	for _, at := range []string{"migrate:1", "migrate:1", "recover:300", "commit:1"} {
		before := schemaVersion(t, p)
		p.start(t, "CIDP_TEST_KILL="+at)
		p.died(t)
		after := schemaVersion(t, p)
		if migrating := strings.HasPrefix(at, "migrate"); migrating && after != before || !migrating && after <= 1 {
			t.Errorf("%s: schema %d became %d", at, before, after)
		}
		if after == 1 {
			continue // it has no views yet
		}
		db := crashOpen(t, p.corpse(t), sqlite3.OPEN_READWRITE)
		holdsAcknowledged(t, db, run.sources)
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	p.start(t)
	run.reach(t, 3000)
	run.assets[0].stop()
	run.finish(t, time.Minute)
	p.ready(t)
	story, readings, _ := proveEnd(t, p, run)
	digest := p.verified(t, p.database())
	t.Logf("%d kills, %d readings and contexts", p.kills, readings)
	wantDigest, wantStory := uninterrupted(t, "", run)
	if digest != wantDigest {
		t.Errorf("the digest with a migration and crashes is %s, without %s", digest, wantDigest)
	}
	sameStory(t, story, wantStory)
}

// schemaVersion reads the schema of what a killed program left.
func schemaVersion(t *testing.T, p *mortal) (v int) {
	t.Helper()
	db := crashOpen(t, p.corpse(t), sqlite3.OPEN_READWRITE)
	defer db.Close()
	crashRows(t, db, `PRAGMA user_version`, func(s *sqlite3.Stmt) { v = s.ColumnInt(0) })
	return v
}

// firstSchema puts a database in the place of a killed program's that has the same rows in the first schema. What that schema has no place for is gone, and it knows of
// open readings only where the first of each sensor is.
func firstSchema(t *testing.T, path string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "store", "schema", "0001_warehouse.sql"))
	if err != nil {
		t.Fatal(err)
	}
	var columns strings.Builder
	for i, f := range stream.FeatureList {
		if i != stream.FCompleteness {
			columns.WriteString(sqlite3.QuoteIdentifier(f.Name) + " REAL, ")
		}
	}
	older := path + ".older"
	db := crashOpen(t, older, sqlite3.OPEN_READWRITE|sqlite3.OPEN_CREATE)
	exec := func(sql string) {
		if err := db.Exec(sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	exec(`PRAGMA journal_mode = wal; ATTACH ` + sqlite3.Quote(path) + ` AS newer`)
	exec(strings.ReplaceAll(string(text), "/*features*/", columns.String()))
	var tables []string
	crashRows(t, db, `SELECT name FROM main.sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'`, func(s *sqlite3.Stmt) {
		tables = append(tables, s.ColumnText(0))
	})
	for _, table := range tables {
		var names []string
		crashRows(t, db, `SELECT name FROM pragma_table_info(?, 'main')`, func(s *sqlite3.Stmt) {
			names = append(names, sqlite3.QuoteIdentifier(s.ColumnText(0)))
		}, table)
		list := strings.Join(names, ", ")
		where := map[string]string{
			"meta":      ` WHERE name IN ('created_ms', 'window_ms', 'disorder_ms')`,
			"migration": ` WHERE version = 1`,
			"model":     ` WHERE model_id <> 'rules'`,
			"ledger":    ` WHERE counter <> 'audit'`,
		}[table]
		exec(fmt.Sprintf(`INSERT INTO main.%s (%s) SELECT %s FROM newer.%s%s`, table, list, list, table, where))
	}
	exec(fmt.Sprintf(`PRAGMA main.application_id = %s; PRAGMA main.user_version = 1; DETACH newer`, crashAsk(t, db, `PRAGMA newer.application_id`)))
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	for _, suffix := range []string{"-wal", "-shm"} {
		if err := os.Remove(path + suffix); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
	if err := os.Rename(older, path); err != nil {
		t.Fatal(err)
	}
}
