package store_test

import (
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/ncruces/go-sqlite3"
)

// TestDetectorSeesASharedConnection has a process use one connection from two goroutines, as two commits would that take no turns, and wants the race detector to see it in the driver: most tests
// run with a detector that does not watch the SQLite beneath, which was translated from C (.ci/run).
func TestDetectorSeesASharedConnection(t *testing.T) {
	if !raced {
		t.Skip("the race detector is off")
	}
	cmd := run(t, "share", filepath.Join(t.TempDir(), "shared.sqlite"))
	cmd.Env = append(cmd.Env, "GORACE=halt_on_error=1")
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "DATA RACE") {
		t.Errorf("%v: %s", err, out)
	}
}

// share has two goroutines begin and end transactions on one connection.
func share(path string) error {
	db, err := sqlite3.Open(path)
	if err != nil {
		return err
	}
	var users sync.WaitGroup
	var failed [2]error
	for i := range failed {
		users.Go(func() {
			for range 100 {
				failed[i] = errors.Join(failed[i], db.Exec(`BEGIN`), db.Exec(`COMMIT`))
			}
		})
	}
	users.Wait()
	return errors.Join(failed[0], failed[1], db.Close())
}
