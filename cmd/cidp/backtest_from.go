package main

import (
	"context"
	"errors"
	"io"
	"iter"

	"github.com/camrail/cidp/store"
	"github.com/camrail/cidp/stream"
)

// warehouseSource gives what a warehouse accepted as messages, in event-time order.
type warehouseSource struct {
	ctx      context.Context // its end is the source's
	archive  *store.Archive
	sensors  []string // topics, by id-1
	assets   []string
	next     func() (store.Fed, error, bool)
	stop     func()
	progress *progress
	rows     int64
	again    *store.Fed // in dispute: another value for the same time comes next
	err      error      // why there are no more
}

func openWarehouse(ctx context.Context, path string, t *terminal) (*warehouseSource, error) {
	a, err := store.OpenArchive(context.WithoutCancel(ctx), path)
	if err != nil {
		return nil, err
	}
	rows, err := a.CountInputs()
	if err != nil {
		return nil, errors.Join(err, a.Close())
	}
	s := &warehouseSource{ctx: ctx, archive: a, progress: newProgress(t, rows, "backtest")}
	for _, of := range a.Sensors {
		s.sensors = append(s.sensors, stream.TelemetryTopic(of.Site, of.Asset, of.Name))
	}
	for _, of := range a.Assets {
		s.assets = append(s.assets, stream.ContextTopic(of.Site, of.Name))
	}
	s.next, s.stop = iter.Pull2(a.Inputs())
	return s, nil
}

// Next gives the next reading or context. A time that is in dispute is given twice, the second time with another value, so that it is in dispute again: which values there were is
// evidence, and not content.
func (s *warehouseSource) Next() (topic string, payload []byte, err error) {
	if s.err != nil {
		return "", nil, s.err
	}
	var f store.Fed
	if s.again != nil {
		f, s.again = *s.again, nil
	} else if f, s.err = s.read(); s.err != nil {
		return "", nil, s.err
	}
	if f.SensorID != 0 {
		return s.sensors[f.SensorID-1], stream.AppendReading(nil, f.Reading), nil
	}
	return s.assets[f.AssetID-1], stream.AppendContext(nil, stream.Context{TS: f.TS, Conditions: f.Conditions}), nil
}

func (s *warehouseSource) read() (store.Fed, error) {
	if s.ctx.Err() != nil {
		return store.Fed{}, errors.New("stopped before the last reading")
	}
	f, err, more := s.next()
	switch {
	case err != nil:
		return f, err
	case !more:
		return f, io.EOF
	}
	if s.rows++; s.rows%showEvery == 0 {
		s.progress.set(s.rows)
	}
	if f.Conflicted {
		other := disputed(f)
		s.again = &other
	}
	return f, nil
}

func (s *warehouseSource) counts() rowCounts { return rowCounts{Rows: s.rows} }
func (s *warehouseSource) failed() error     { return endedEarly(s.err) }

func (s *warehouseSource) close() {
	s.progress.close()
	s.stop()
	_ = s.archive.Close() // it was only read
}

// disputed gives another value for the same time.
func disputed(f store.Fed) store.Fed {
	switch {
	case f.SensorID != 0:
		f.Temp++
	case f.Has&stream.HasAmbient != 0:
		f.Ambient++
	case f.Has&stream.HasSpeed != 0:
		f.Speed++
	case f.Has&stream.HasLoad != 0:
		f.Load++
	default:
		f.Brake ^= 1
	}
	return f
}
