package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/camrail/cidp/stream"
)

// rowSource gives the readings of files as messages, several files merged by event time: each keeps its own order, and of the rows that are next the earliest goes first.
type rowSource struct {
	ctx      context.Context // its end is the source's
	files    []*rowHead
	progress *progress
	given    int64
	err      error // why there are no more
}

// showEvery is after how many readings the progress is looked at.
const showEvery = 1 << 10

// rowHead is a file and the readings of its next row.
type rowHead struct {
	rowScan
	in   *rowFile
	left []rowReading
}

// openSource opens files. What is malformed in them is reported as they are read.
func openSource(ctx context.Context, flags *rowFlags, files []string, t *terminal) (s *rowSource, err error) {
	s = &rowSource{ctx: ctx}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	size := int64(0)
	for _, file := range files {
		in, err := openRows(file)
		if err != nil {
			return s, err
		}
		h := &rowHead{in: in, rowScan: rowScan{file: file}}
		s.files = append(s.files, h)
		if h.rows, err = flags.reader(file, in); err != nil {
			return s, err
		}
		size += in.size
	}
	s.progress = newProgress(t, size, "backtest")
	for _, h := range s.files {
		h.report = s.progress.say
		if len(files) > 1 {
			h.report = func(format string, args ...any) { s.progress.say(filepath.Base(h.file)+": "+format, args...) }
		}
	}
	return s, nil
}

// Next gives the next reading.
func (s *rowSource) Next() (topic string, payload []byte, err error) {
	if s.err == nil {
		s.err = s.fill()
	}
	if s.err != nil {
		return "", nil, s.err
	}
	var first *rowHead
	for _, h := range s.files {
		if len(h.left) > 0 && (first == nil || h.left[0].reading.TS < first.left[0].reading.TS) {
			first = h
		}
	}
	if first == nil {
		s.err = io.EOF
		return "", nil, io.EOF
	}
	if s.given++; s.given%showEvery == 0 {
		s.show()
	}
	r := first.left[0]
	first.left = first.left[1:]
	return r.topic, stream.AppendReading(nil, r.reading), nil
}

// fill reads the next row of each file whose last one is given.
func (s *rowSource) fill() error {
	if s.ctx.Err() != nil {
		return errors.New("stopped before the end of the file")
	}
	for _, h := range s.files {
		for len(h.left) == 0 && h.rows != nil {
			readings, err := h.next()
			switch {
			case errors.Is(err, io.EOF):
				h.rows = nil
			case err != nil:
				return err
			}
			h.left = readings
		}
	}
	return nil
}

func (s *rowSource) show() {
	done := int64(0)
	for _, h := range s.files {
		done += h.in.read()
	}
	s.progress.set(done)
}

// counts adds up what was read.
func (s *rowSource) counts() (c rowCounts) {
	for _, h := range s.files {
		c.Rows += h.Rows
		c.Malformed += h.Malformed
	}
	return c
}

func (s *rowSource) failed() error { return endedEarly(s.err) }

// endedEarly says why a source ended before its last reading, nil when it did not.
func endedEarly(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return nil
	}
	return fmt.Errorf("%w; what was read so far is in the database", err)
}

func (s *rowSource) close() {
	if s.progress != nil {
		s.progress.close()
	}
	for _, h := range s.files {
		_ = h.in.Close() // it was only read
	}
}
