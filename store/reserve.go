package store

import (
	"fmt"
	"path/filepath"
)

// Reservation is the right to open a warehouse for writing, before it is opened: whoever comes second learns at once who was first.
type Reservation struct{ lock *lockFile }

// Reserve makes the warehouse's folder when there is none and takes its lock. Another process that has it gives ErrLocked.
func Reserve(path string) (*Reservation, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("resolve database path: %w", err)
	}
	if err := prepareFolder(abs); err != nil {
		return nil, err
	}
	lock, err := takeLock(filepath.Join(filepath.Dir(abs), lockName))
	if err != nil {
		return nil, err
	}
	return &Reservation{lock}, nil
}

// take gives the lock to who opens the warehouse; nil when there is none, or no longer.
func (r *Reservation) take() *lockFile {
	if r == nil {
		return nil
	}
	lock := r.lock
	r.lock = nil
	return lock
}

// Release gives the right up, unless Open has taken it over.
func (r *Reservation) Release() error { return r.take().release() }
