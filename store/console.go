package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/ncruces/go-sqlite3"
)

// consoleConns is how many pages can be read at once.
const consoleConns = 2

// Console reads the pages of the console. It has connections of its own, which its methods take in turn; they may be called from any
// goroutine and give up when their context ends. Close it before the DB.
type Console struct {
	pool chan *sqlite3.Conn
}

// Console opens the console's connections.
func (db *DB) Console() (*Console, error) {
	k := &Console{pool: make(chan *sqlite3.Conn, consoleConns)}
	for range consoleConns {
		c, err := openReader(db.place())
		if err != nil {
			for len(k.pool) > 0 {
				err = errors.Join(err, closeConn(<-k.pool))
			}
			return nil, err
		}
		k.pool <- c
	}
	return k, nil
}

// Close waits for the pages under way and closes the connections. No method may be called after it.
func (k *Console) Close() error {
	var errs []error
	for range consoleConns {
		errs = append(errs, closeConn(<-k.pool))
	}
	return errors.Join(errs...)
}

// read lends f a connection inside one read transaction, so that a page is of one moment.
func (k *Console) read(ctx context.Context, what string, f func(c *sqlite3.Conn) error) (err error) {
	var c *sqlite3.Conn
	select {
	case c = <-k.pool:
	case <-ctx.Done():
		return fmt.Errorf("read %s: %w", what, ctx.Err())
	}
	old := c.SetInterrupt(ctx)
	defer func() {
		c.SetInterrupt(old)
		if !c.GetAutocommit() {
			err = errors.Join(err, c.Exec(`ROLLBACK`))
		}
		k.pool <- c
	}()
	if err := c.Exec(`BEGIN`); err != nil {
		return fmt.Errorf("read %s: %w", what, err)
	}
	if err := f(c); err != nil {
		return fmt.Errorf("read %s: %w", what, err)
	}
	return nil
}

// Summary is the console's head: totals, by counter and reason, and what stands now.
type Summary struct {
	Ledger      []LedgerRow `json:"ledger"`
	Assets      int64       `json:"assets"`
	Sensors     int64       `json:"sensors"`
	Windows     int64       `json:"windows"`
	Quarantined int64       `json:"quarantined"`
	Predictions int64       `json:"predictions"`
	AlertsOpen  int64       `json:"alerts_open"`
	AlertsAll   int64       `json:"alerts"`
	Unsent      int64       `json:"unsent"`
	LastCommit  int64       `json:"last_commit"`
	CommittedMs int64       `json:"committed_ms"`
}

// Summary reads the totals. Its cost does not grow with the readings.
func (k *Console) Summary(ctx context.Context) (v Summary, err error) {
	err = k.read(ctx, "summary", func(c *sqlite3.Conn) error {
		if v.Ledger, err = readLedger(c); err != nil {
			return err
		}
		for _, row := range v.Ledger {
			switch (entry{row.Counter, row.Reason}) {
			case entry{counterWindow, valid}:
				v.Windows += row.Value
				v.Predictions = row.Value // one each
			case entry{counterWindow, quarantined}:
				v.Windows += row.Value
				v.Quarantined = row.Value
			}
		}
		err = query(c, `SELECT (SELECT count(*) FROM asset), (SELECT count(*) FROM sensor), (SELECT count(*) FROM alert WHERE state <> 'cleared'),
			(SELECT count(*) FROM alert), (SELECT count(*) FROM outbox)`, func(s *sqlite3.Stmt) error {
			v.Assets, v.Sensors, v.AlertsOpen, v.AlertsAll, v.Unsent = s.ColumnInt64(0), s.ColumnInt64(1), s.ColumnInt64(2), s.ColumnInt64(3), s.ColumnInt64(4)
			return nil
		})
		if err != nil {
			return err
		}
		return query(c, `SELECT commit_id, committed_ms FROM commit_log ORDER BY commit_id DESC LIMIT 1`, func(s *sqlite3.Stmt) error {
			v.LastCommit, v.CommittedMs = s.ColumnInt64(0), s.ColumnInt64(1)
			return nil
		})
	})
	return v, err
}
