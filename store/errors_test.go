package store_test

import (
	"errors"
	"io/fs"
	"syscall"
	"testing"

	"github.com/camrail/cidp/store"
)

// TestFailedSyncMayPass: what the operating system says of a sync has no code of SQLite's, and is no reason to stop for good.
func TestFailedSyncMayPass(t *testing.T) {
	for _, err := range []error{syscall.EIO, syscall.ENOSPC, &fs.PathError{Op: "sync", Path: "database", Err: syscall.EIO}} {
		if got := store.SyncFailed(err); errors.Is(got, store.ErrFatal) || !errors.Is(got, err) {
			t.Errorf("%v became %v", err, got)
		}
	}
}
