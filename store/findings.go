package store

import (
	"fmt"

	"github.com/camrail/cidp/stream"
	"github.com/ncruces/go-sqlite3"
)

// findingColumns are what findingAt reads.
const findingColumns = `site, asset, sensor, ts_ms, revision, finding, COALESCE(since_ms, 0), component, found_by, note, reference`

func findingAt(s *sqlite3.Stmt) stream.Finding {
	return stream.Finding{
		FindingKey: stream.FindingKey{Site: s.ColumnText(0), Asset: s.ColumnText(1), Sensor: s.ColumnText(2), TS: s.ColumnInt64(3), Revision: s.ColumnInt64(4)},
		Found:      stream.Found(s.ColumnText(5)), Since: s.ColumnInt64(6), Component: s.ColumnText(7), By: s.ColumnText(8), Note: s.ColumnText(9), ID: s.ColumnText(10),
	}
}

// findings writes what workshops found.
func (w *writer) findings(p *pass) error {
	for i := range p.Findings {
		f := &p.Findings[i]
		err := w.finding.text(f.Site).text(f.Asset).text(f.Sensor).int(f.TS).int(f.Revision).text(string(f.Found)).when(f.Since != 0, f.Since).
			text(f.Component).text(f.By).text(f.Note).text(f.ID).int(p.Committed).run()
		if err != nil {
			return fmt.Errorf("insert verdict: %w", err)
		}
		if err := w.inserted(1, "verdict"); err != nil {
			return err
		}
	}
	return nil
}

// Finding gives what is stored of a finding.
func (p *Past) Finding(key stream.FindingKey) (f stream.Finding, found bool, err error) {
	err = p.finding.text(key.Site).text(key.Asset).text(key.Sensor).int(key.TS).int(key.Revision).each(func(s *sqlite3.Stmt) error {
		f, found = findingAt(s), true
		return nil
	})
	if err != nil {
		return stream.Finding{}, false, classify(fmt.Errorf("look up verdict: %w", err))
	}
	return f, found, nil
}

// readFindings gives every finding of times in [from, to), in every revision, in the order of their keys.
func readFindings(c *sqlite3.Conn, from, to int64) (all []stream.Finding, err error) {
	err = query(c, `SELECT `+findingColumns+` FROM verdict WHERE ts_ms >= ? AND ts_ms < ? ORDER BY site, asset, sensor, ts_ms, revision`, func(s *sqlite3.Stmt) error {
		all = append(all, findingAt(s))
		return nil
	}, from, to)
	if err != nil {
		return nil, fmt.Errorf("read verdicts: %w", err)
	}
	return all, nil
}

// findings proves what the line made sure of when it took them.
func (v *verifier) findings() error {
	return v.find([]finding{
		{"verdict", "what was found at %s/%s/%s at %s in revision %s has been so since later than it was found",
			`SELECT site, asset, sensor, ts_ms, revision FROM verdict WHERE since_ms > ts_ms`},
	})
}
