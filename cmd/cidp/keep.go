package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/camrail/cidp/cmd/cidp/platform"
	"github.com/camrail/cidp/store"
)

// keepFlags say for how long what is kept, and what happens when the disk runs short.
type keepFlags struct {
	KeepRaw      longTime `name:"keep-raw" help:"How long readings and contexts are kept, by event time, e.g. 90d; 0: for ever." default:"0"`
	KeepRawMin   longTime `name:"keep-raw-min" help:"Readings younger than this stay, whatever keep-bytes and a short disk ask for." default:"24h"`
	KeepWindows  longTime `name:"keep-windows" help:"How long windows with their predictions are kept, at least as long as readings; 0: for ever." default:"0"`
	KeepAlerts   longTime `name:"keep-alerts" help:"How long cleared alerts are kept, at least as long as windows; 0: for ever." default:"0"`
	KeepEvidence longTime `name:"keep-evidence" help:"How long refused messages and late readings are kept after their receipt; 0: for ever." default:"0"`
	KeepBytes    byteSize `name:"keep-bytes" help:"Size of the database, e.g. 20GiB, beyond which the oldest readings and contexts go; 0: no bound." default:"0"`
	DiskLow      roomMark `name:"disk-low" help:"Room on the disk, e.g. 2GiB, below which readings older than keep-raw-min go; auto: the smaller of 1GiB and a tenth of the disk; off." default:"auto"`
	DiskStop     roomMark `name:"disk-stop" help:"Room below which nothing more is acknowledged; auto: the smaller of 256MiB and a twentieth of the disk; off." default:"auto"`
}

// apply moves the flags into the platform's configuration.
func (f *keepFlags) apply(cfg *platform.Config) error {
	cfg.Keep = store.Keep{Raw: time.Duration(f.KeepRaw), RawMin: time.Duration(f.KeepRawMin), Windows: time.Duration(f.KeepWindows),
		Alerts: time.Duration(f.KeepAlerts), Evidence: time.Duration(f.KeepEvidence), Bytes: int64(f.KeepBytes)}
	if err := cfg.Keep.Validate(); err != nil {
		return err
	}
	cfg.DiskLow, cfg.DiskStop = int64(f.DiskLow), int64(f.DiskStop)
	if f.DiskLow > 0 && f.DiskStop > f.DiskLow {
		return fmt.Errorf("disk-stop is %d bytes and disk-low %d: old readings go first, and only then nothing more is acknowledged", f.DiskStop, f.DiskLow)
	}
	if f.KeepRawMin == 0 && f.DiskLow >= 0 {
		return errors.New("keep-raw-min is 0: a short disk would take readings that were stored a moment ago; set it, or disk-low to off")
	}
	return nil
}
