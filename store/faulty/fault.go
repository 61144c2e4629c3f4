package faulty

// How says what becomes of an operation that fails.
type How uint8

// The ways to fail.
const (
	Undone  How = iota // it is not done
	Done               // it is done, and reported as failed
	Half               // a write is done in part; another operation is not
	Dropped            // a sync is not done, and what was to be synced never reaches the disk, though every reader sees it: what Linux does
)

// Fault is operations that fail.
type Fault struct {
	Op    Op
	Kind  Kind // one or more of them
	Skip  int  // this many succeed first
	Times int  // then this many fail; 0: all, until the fault is mended
	How   How
	Err   error // an error of package sqlite3, or vfs.SystemError

	seen int
}

// dropped marks the error of a sync that lost what it should have synced.
type dropped struct{ error }

// Break adds a fault. mend takes it away, and tells how many operations it met: those that failed and those that were let through.
func (d *Disk) Break(f Fault) (mend func() int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	own := &f
	d.faults = append(d.faults, own)
	return func() int {
		d.mu.Lock()
		defer d.mu.Unlock()
		for i, have := range d.faults {
			if have == own {
				d.faults = append(d.faults[:i:i], d.faults[i+1:]...)
				break
			}
		}
		return own.seen
	}
}

// Count gives how many operations of a kind f does.
func (d *Disk) Count(op Op, kind Kind, f func()) int {
	mend := d.Break(Fault{Op: op, Kind: kind, Skip: 1 << 62})
	f()
	return mend()
}

// broken says whether anything may fail for a kind of file.
func (d *Disk) broken(kind Kind) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, f := range d.faults {
		if f.Kind&kind != 0 {
			return true
		}
	}
	return false
}

// meet finds the fault, if any, that an operation runs into.
func (d *Disk) meet(op Op, kind Kind) *Fault {
	d.mu.Lock()
	defer d.mu.Unlock()
	var hit *Fault
	for _, f := range d.faults {
		if f.Op != op || f.Kind&kind == 0 {
			continue
		}
		f.seen++
		if n := f.seen - f.Skip; n > 0 && (f.Times == 0 || n <= f.Times) && hit == nil {
			hit = f
		}
	}
	return hit
}

func (d *Disk) do(op Op, kind Kind, f func() error) error {
	return d.doPart(op, kind, 0, func(int) error { return f() })
}

// doPart does an operation of a size, unless a fault is in its way.
func (d *Disk) doPart(op Op, kind Kind, size int, f func(n int) error) error {
	fault := d.meet(op, kind)
	if fault == nil {
		return f(size)
	}
	part := 0
	switch {
	case fault.How == Done && op != Lock:
		part = size
	case fault.How == Half && op == Write:
		part = size / 2
	case fault.How == Dropped && op == Sync:
		return dropped{fault.Err}
	default:
		return fault.Err
	}
	if err := f(part); err != nil {
		return err
	}
	return fault.Err
}
