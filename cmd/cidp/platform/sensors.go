package platform

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/camrail/cidp/cmd/cidp/sensors"
	"github.com/camrail/cidp/store"
	"github.com/camrail/cidp/stream"
)

// The sensors file is read at the start, where a mistake ends the start, and then every few seconds. A changed one is taken when it has been found the same twice, so that half of a
// file that is being written is not; it goes to the line, which puts it in force between two passes. One with a mistake, and one that is gone, changes nothing.

// configuration is what decides what becomes of readings. It never changes.
type configuration struct {
	stream   stream.Config
	registry *stream.Registry
	digest   string
}

func newConfiguration(cfg stream.Config) (*configuration, error) {
	digest, err := cfg.Digest()
	if err != nil {
		return nil, err
	}
	return &configuration{cfg, stream.NewRegistry(&cfg), digest}, nil
}

// sensorsEvery is how often the file is looked at.
const sensorsEvery = 2 * time.Second

// sensorsFile watches the file. One goroutine owns it.
type sensorsFile struct {
	path    string // empty: there is none
	must    bool   // it was named: it must be there at the start
	base    stream.Config
	every   time.Duration
	status  *status
	log     zerolog.Logger
	into    chan<- *configuration
	seen    fileState
	handled [sha256.Size]byte  // of the text that was put in force, or refused, last
	found   *[sha256.Size]byte // of another text, found once
}

// fileState tells one state of a file from the next, but for changes as fast as the file system's clock ticks: one that is younger than settledAfter is read all the same.
type fileState struct {
	exists   bool
	size     int64
	modified time.Time
	read     time.Time
}

const settledAfter = 3 * time.Second

func (s fileState) same(o fileState) bool {
	return s.exists == o.exists && s.size == o.size && s.modified.Equal(o.modified) && o.read.Sub(s.modified) > settledAfter && s.read.Sub(s.modified) > settledAfter
}

// start reads the file for the first time.
func (f *sensorsFile) start() (*configuration, error) {
	cfg := f.base
	if f.path != "" {
		text, err := sensors.Read(f.path)
		switch {
		case err == nil:
			if cfg, err = f.parse(text); err != nil {
				return nil, err
			}
			f.handled = sha256.Sum256(text)
		case !errors.Is(err, fs.ErrNotExist) || f.must:
			return nil, err
		}
	}
	return newConfiguration(cfg)
}

func (f *sensorsFile) parse(text []byte) (stream.Config, error) {
	parsed, err := sensors.Parse(f.path, text)
	if err != nil {
		return stream.Config{}, err
	}
	return parsed.Apply(f.base)
}

// watch looks at the file until ctx ends.
func (f *sensorsFile) watch(ctx context.Context) {
	if f.path == "" {
		return
	}
	tick := time.NewTicker(f.every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if c := f.look(); c != nil {
				select {
				case f.into <- c:
				case <-ctx.Done():
				}
			}
		}
	}
}

// look gives a configuration to be put in force, nil when there is nothing new.
func (f *sensorsFile) look() *configuration {
	now := fileState{read: time.Now()}
	info, err := os.Stat(f.path)
	if now.exists = err == nil; now.exists {
		now.size, now.modified = info.Size(), info.ModTime()
	}
	if f.found == nil && now.same(f.seen) {
		return nil
	}
	f.seen = now
	text, err := sensors.Read(f.path)
	if errors.Is(err, fs.ErrNotExist) && f.handled == [sha256.Size]byte{} {
		return nil // there never was one
	}
	var sum [sha256.Size]byte
	if err == nil {
		sum = sha256.Sum256(text)
	}
	switch {
	case err == nil && sum == f.handled:
		f.found = nil
		return nil
	case f.found == nil || *f.found != sum:
		f.found = &sum
		return nil
	}
	f.found, f.handled = nil, sum
	if err == nil {
		var cfg stream.Config
		if cfg, err = f.parse(text); err == nil {
			var c *configuration
			if c, err = newConfiguration(cfg); err == nil {
				return c
			}
		}
	}
	f.refuse(err)
	return nil
}

// refuse says why the file changes nothing.
func (f *sensorsFile) refuse(err error) {
	what := strings.ReplaceAll(err.Error(), "\n", "; ")
	f.status.advise(reasonSensors, what+"; the registry of before stays in force")
	f.log.Error().Str("file", f.path).Str("mistake", what).Msg("the sensors file is refused: the registry of before stays in force")
}

// inForce is the configuration that the line works by. The line's feed writes it, the console reads it.
type inForce = atomic.Pointer[configuration]

// empty says whether nothing has gone into the filling pass yet.
func (l *line) empty() bool {
	return len(l.filling.acks) == 0 && len(l.filling.batch.Outbox) == 0 && !l.windower.Pending()
}

// reconfigure puts the configuration that waits in force, when nothing has gone into the filling pass yet: then all of it follows the new one.
func (l *line) reconfigure() {
	next, now := l.next, l.config.Load()
	if next == nil || !l.empty() {
		return
	}
	l.next = nil
	if err := l.windower.Configure(next.stream); err != nil { // it is valid, and differs in the registry alone
		l.status.advise(reasonSensors, err.Error()+"; the registry of before stays in force")
		l.log.Error().Err(err).Msg("the sensors file is refused: the registry of before stays in force")
		return
	}
	l.config.Store(next)
	l.status.settle(reasonSensors)
	if next.digest == now.digest {
		return // lines have moved, no more
	}
	what := joinCapped(next.stream.Differences(&now.stream))
	change := &store.ConfigChange{At: time.Now().UnixMilli(), Who: whoFile, OldDigest: now.digest, NewDigest: next.digest, What: what}
	if before := l.filling.batch.Config; before != nil { // no window has closed under it
		change.OldDigest, change.What = before.OldDigest, joinCapped([]string{before.What, what})
	}
	if l.filling.batch.Config = change; change.OldDigest == change.NewDigest {
		l.filling.batch.Config = nil
	}
	l.log.Info().Str("what", what).Str("digest", next.digest).Msg("another sensor registry is in force")
}

// whoFile is who changes the configuration: whoever writes the files that it is read from.
const whoFile = "file"

// recordStart notes a configuration other than the one that was recorded last. It is committed with the first batch.
func (l *line) recordStart(recorded, file string) {
	c := l.config.Load()
	if c.digest == recorded {
		return
	}
	what := "cidp started without rules for sensors"
	if n := len(c.stream.Rules); n > 0 {
		what = fmt.Sprintf("cidp started with %s, rules for sensors: %d", filepath.Base(file), n)
	}
	l.filling.batch.Config = &store.ConfigChange{At: time.Now().UnixMilli(), Who: whoFile, OldDigest: recorded, NewDigest: c.digest, What: what}
}

// nameChanged adds the known sensors that a configuration changed to its record.
func nameChanged(c *store.ConfigChange, changed []stream.SensorChange) {
	var out []string
	for i := range changed {
		if s := &changed[i]; s.What != "" {
			out = append(out, fmt.Sprintf("%s/%s/%s %s", s.Site, s.Asset, s.Name, s.What))
		}
	}
	if len(out) > 0 {
		c.What += fmt.Sprintf("; known sensors that changed, %d: %s", len(out), joinCapped(out))
	}
}

// maxWhat bounds what is said of a change, bytes.
const maxWhat = 4000

func joinCapped(parts []string) string {
	n := 0
	for i, p := range parts {
		if n += len(p) + 2; n > maxWhat {
			return strings.Join(parts[:i], "; ") + fmt.Sprintf("; and %d more", len(parts)-i)
		}
	}
	return strings.Join(parts, "; ")
}
