package main

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// rowFlags say what the rows of a file mean; replay and backtest share them.
type rowFlags struct {
	Site   string `help:"Site of the readings." default:"replay"`
	Asset  string `help:"Asset of the readings; default the file's name."`
	Sensor string `help:"Sensor of the readings; default the column's name. With several columns: a prefix."`
	Time   string `help:"CSV column of the event time; default the first of ts_ms, ts, timestamp, time, datetime, date."`
	Temp   string `help:"CSV columns of the temperatures, separated by commas; default every other column whose first value is a number." placeholder:"COL[,COL...]"`
	Unit   string `help:"Unit of the temperatures: c, f or k." default:"c" enum:"c,f,k"`
	TZ     string `name:"tz" help:"Zone of times that name none." default:"UTC"`
}

// rowCounts is what was read of a file.
type rowCounts struct{ Rows, Malformed int64 }

const maxReported = 50 // malformed rows of a file reported one by one

// rowScan reads rows to the end. What is malformed is reported with its line number, skipped and counted.
type rowScan struct {
	rowCounts
	file   string
	rows   rowReader
	report func(format string, args ...any)
}

// next gives the readings of the next good row, valid until it is called again; io.EOF after the last.
func (s *rowScan) next() ([]rowReading, error) {
	for {
		readings, line, err := s.rows.next()
		var bad rowError
		switch {
		case errors.Is(err, io.EOF):
			return nil, io.EOF
		case errors.As(err, &bad):
			s.Rows++
			s.Malformed++
			if s.Malformed <= maxReported {
				s.report("line %d: %s; skipped", line, bad)
			} else if s.Malformed == maxReported+1 {
				s.report("more malformed rows are counted and not shown")
			}
			continue
		case err != nil:
			return nil, fmt.Errorf("read %s after line %d: %w", s.file, line, err)
		}
		s.Rows++
		return readings, nil
	}
}

// rowFile is a file of rows, unpacked on the way, that knows how far it was read.
type rowFile struct {
	io.Reader
	file *os.File
	size int64
}

func openRows(path string) (*rowFile, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("file %s does not exist", path)
	}
	if err != nil {
		return nil, fmt.Errorf("open file: %w", err)
	}
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = fmt.Errorf("%s is a folder, not a file", path)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open file: %w", err), f.Close())
	}
	out := &rowFile{Reader: f, file: f, size: info.Size()}
	if strings.HasSuffix(path, ".gz") {
		z, err := gzip.NewReader(bufio.NewReaderSize(f, 64<<10))
		if err != nil {
			return nil, errors.Join(fmt.Errorf("unpack %s: it is not a gzip file: %w", path, err), f.Close())
		}
		out.Reader = z
	}
	return out, nil
}

// read is how many bytes of the file have been taken.
func (r *rowFile) read() int64 {
	at, err := r.file.Seek(0, io.SeekCurrent)
	if err != nil {
		return 0
	}
	return at
}

func (r *rowFile) Close() error { return r.file.Close() }

var badNameChar = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

// nameFrom makes a valid name out of a file's or a column's.
func nameFrom(s string) string {
	s = badNameChar.ReplaceAllString(strings.TrimSpace(s), "-")
	return s[:min(len(s), 64)]
}

// assetName is the asset that the readings of a file belong to.
func (f *rowFlags) assetName(file string) string {
	if f.Asset != "" {
		return f.Asset
	}
	base := filepath.Base(strings.TrimSuffix(file, ".gz"))
	return nameFrom(strings.TrimSuffix(base, filepath.Ext(base)))
}
