package store

import (
	"embed"
	"errors"
	"fmt"
	"hash/crc32"
	"path"
	"strconv"
	"strings"

	"github.com/camrail/cidp/stream"
	"github.com/ncruces/go-sqlite3"
)

//go:embed schema/*.sql
var schemaFiles embed.FS

// migrations are the schema's files in the order in which they are applied. A file is never changed once it was released; the next one
// is added behind it.
func migrations() []string {
	return []string{"0001_warehouse.sql", "0002_lasting.sql", "0003_room.sql", "0004_places.sql", "0005_config.sql", "0006_audit.sql",
		"0007_verdicts.sql", "0008_drift.sql", "0009_steady.sql", "0010_explanation.sql", "0011_models.sql", "0012_scored.sql", "0013_outbox.sql",
		"0014_packed.sql"}
}

// schemaVersion is the PRAGMA user_version of a database that this program writes.
func schemaVersion() int64 { return int64(len(migrations())) }

// featuresMark is where the schema's files take the feature columns.
const featuresMark = "/*features*/"

// windowFeatures gives the names of the features that have a column of their own: completeness is the window's.
func windowFeatures() []string {
	names := make([]string, 0, stream.NumFeatures)
	for i, f := range stream.FeatureList {
		if i != stream.FCompleteness {
			names = append(names, f.Name)
		}
	}
	return names
}

// featureColumns writes the feature columns, each with a prefix and a suffix, separated by commas.
func featureColumns(prefix, suffix string) string {
	var b strings.Builder
	for i, name := range windowFeatures() {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(prefix + sqlite3.QuoteIdentifier(name) + suffix)
	}
	return b.String()
}

func schemaText(name, columns string) (string, error) {
	text, err := schemaFiles.ReadFile(path.Join("schema", name))
	if err != nil {
		return "", fmt.Errorf("read schema: %w", err)
	}
	return strings.ReplaceAll(string(text), featuresMark, columns+","), nil
}

// migrate brings the database to the present schema in one transaction: files not yet applied, columns for features it does not have yet,
// the views, and the settings that the digest needs.
func migrate(c *sqlite3.Conn, path string, o Options) (err error) {
	tx, err := c.BeginImmediate()
	if err != nil {
		return fmt.Errorf("begin migration: %w", err)
	}
	defer func() {
		if err != nil && !c.GetAutocommit() {
			err = errors.Join(err, tx.Rollback())
		}
	}()
	version, err := queryInt(c, `PRAGMA user_version`)
	if err != nil {
		return fmt.Errorf("read schema version: %w", err)
	}
	now := o.Clock().UnixMilli()
	for i, name := range migrations() {
		if int64(i) < version {
			continue
		}
		text, err := schemaText(name, featureColumns("", " REAL"))
		if err != nil {
			return err
		}
		if err := c.Exec(text); err != nil {
			return fmt.Errorf("apply migration %s: %w", name, err)
		}
		if err := execArgs(c, `INSERT INTO migration VALUES (?, ?, ?)`, int64(i+1), name, now); err != nil {
			return fmt.Errorf("record migration %s: %w", name, err)
		}
	}
	if version < schemaVersion() {
		if err := c.Exec(fmt.Sprintf(`PRAGMA application_id = %d; PRAGMA user_version = %d`, appID, schemaVersion())); err != nil {
			return fmt.Errorf("mark database: %w", err)
		}
	}
	if err := addFeatures(c); err != nil {
		return err
	}
	if err := makeViews(c); err != nil {
		return err
	}
	if err := keepSettings(c, o, now); err != nil {
		return err
	}
	o.Step("migrate")
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit migration of %s: %w", path, err)
	}
	return nil
}

// missingFeatures gives the features that telemetry_window has no column for, or one of another type.
func missingFeatures(c *sqlite3.Conn) ([]string, error) {
	have := map[string]string{}
	err := query(c, `SELECT name, type FROM pragma_table_info('telemetry_window')`, func(s *sqlite3.Stmt) error {
		have[s.ColumnText(0)] = s.ColumnText(1)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read window columns: %w", err)
	}
	var missing []string
	for _, name := range windowFeatures() {
		if typ, ok := have[name]; !ok {
			missing = append(missing, name)
		} else if typ != "REAL" {
			return nil, fmt.Errorf("check feature %s: telemetry_window has a column of that name and of type %s", name, typ)
		}
	}
	return missing, nil
}

// addFeatures gives a database from before a feature its column. Windows closed until then have NULL there, which reads as missing.
func addFeatures(c *sqlite3.Conn) error {
	missing, err := missingFeatures(c)
	if err != nil {
		return err
	}
	for _, name := range missing {
		if err := c.Exec(`ALTER TABLE telemetry_window ADD COLUMN ` + sqlite3.QuoteIdentifier(name) + ` REAL`); err != nil {
			return fmt.Errorf("add feature column %s: %w", name, err)
		}
	}
	return nil
}

// makeViews makes the views anew when their text has changed.
func makeViews(c *sqlite3.Conn) error {
	text, err := schemaText("views.sql", featureColumns("w.", ""))
	if err != nil {
		return err
	}
	sum := int64(crc32.ChecksumIEEE([]byte(text)))
	if have, err := queryInt(c, `SELECT value FROM meta WHERE name = 'views'`); err != nil {
		return fmt.Errorf("read views: %w", err)
	} else if have == sum {
		return nil
	}
	if err := c.Exec(text); err != nil {
		return fmt.Errorf("make views: %w", err)
	}
	return setMeta(c, "views", sum)
}

func keepSettings(c *sqlite3.Conn, o Options, now int64) error {
	if err := execArgs(c, `INSERT OR IGNORE INTO meta VALUES ('created_ms', ?), ('window_ms', 60000), ('disorder_ms', 10000)`, now); err != nil {
		return fmt.Errorf("keep settings: %w", err)
	}
	if o.Window <= 0 {
		return nil
	}
	if err := setMeta(c, "window_ms", o.Window.Milliseconds()); err != nil {
		return err
	}
	return setMeta(c, "disorder_ms", o.Disorder.Milliseconds())
}

func setMeta(c *sqlite3.Conn, name string, value int64) error {
	err := execArgs(c, `INSERT INTO meta VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value WHERE value <> excluded.value`, name, value)
	if err != nil {
		return fmt.Errorf("keep %s: %w", name, err)
	}
	return nil
}

// meta reads a setting that must be there.
func meta(c *sqlite3.Conn, name string) (int64, error) {
	text := ""
	err := query(c, `SELECT CAST(value AS TEXT) FROM meta WHERE name = ?`, func(s *sqlite3.Stmt) error { text = s.ColumnText(0); return nil }, name)
	if err != nil {
		return 0, fmt.Errorf("read setting %s: %w", name, err)
	}
	v, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("read setting %s: it is missing", name)
	}
	return v, nil
}
