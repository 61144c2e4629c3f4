package main

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/camrail/cidp/stream"
)

// rowReader gives the readings of one row after another, with the row's line number. A rowError concerns that row alone.
type rowReader interface {
	next() (readings []rowReading, line int, err error)
}

type rowReading struct {
	topic   string
	reading stream.Reading
}

// rowError says what is wrong with one row.
type rowError string

func (e rowError) Error() string { return string(e) }

// rowsOf is a file and what its rows mean.
type rowsOf struct {
	*rowFlags
	file  string
	asset string
	zone  *time.Location
}

// reader looks at the first byte: an object begins NDJSON, anything else a CSV header.
func (f *rowFlags) reader(file string, in io.Reader) (rowReader, error) {
	zone, err := time.LoadLocation(f.TZ)
	if err != nil {
		return nil, usageError{fmt.Errorf("time zone %q is not known: give an IANA name such as Africa/Douala, or UTC", f.TZ)}
	}
	of := rowsOf{rowFlags: f, file: file, asset: f.assetName(file), zone: zone}
	buf := bufio.NewReaderSize(in, 256<<10)
	head, err := buf.Peek(1)
	if err != nil {
		return nil, fmt.Errorf("read %s: the file is empty or cannot be read: %w", file, err)
	}
	for _, name := range []string{f.Site, of.asset} {
		if !stream.ValidName(name) {
			return nil, usageError{fmt.Errorf("%q is no valid site or asset: 1 to 64 characters of A-Z a-z 0-9 . _ -", name)}
		}
	}
	if head[0] == '{' {
		return &jsonRows{of: of, in: buf}, nil
	}
	return newCSVRows(of, buf)
}

// csvRows reads a table with a header.
type csvRows struct {
	in     *csv.Reader
	zone   *time.Location
	unit   string
	time   int
	temps  []int
	topics []string
	first  *csvRow // read to find the columns; nil once it is given
	line   int     // of the last row
	out    []rowReading
}

// csvRow is what reading one row gave.
type csvRow struct {
	fields []string
	line   int
	err    error
}

// read reads a row. Its fields are valid until the next one is read.
func (r *csvRows) read() (row csvRow) {
	row.fields, row.err = r.in.Read()
	var bad *csv.ParseError
	switch {
	case errors.As(row.err, &bad): // csv.Reader goes on after it, and may know no position in it
		r.line, row.err = bad.StartLine, rowError(bad.Err.Error())
	case row.err == nil:
		r.line, _ = r.in.FieldPos(0)
	}
	row.line = r.line
	return row
}

var timeNames = []string{"ts_ms", "ts", "timestamp", "time", "datetime", "date"}

func newCSVRows(c rowsOf, in io.Reader) (*csvRows, error) {
	r := csv.NewReader(in)
	r.ReuseRecord = true
	r.FieldsPerRecord = -1
	header, err := r.Read()
	if err != nil {
		return nil, fmt.Errorf("read header of %s: %w", c.file, err)
	}
	header = slices.Clone(header)
	for i := range header {
		header[i] = strings.TrimSpace(strings.TrimPrefix(header[i], "\ufeff"))
	}
	rows := &csvRows{in: r, zone: c.zone, unit: c.Unit, time: -1}
	first := rows.read()
	first.fields = slices.Clone(first.fields)
	rows.first = &first
	find := func(name string) (int, error) {
		i := slices.IndexFunc(header, func(h string) bool { return strings.EqualFold(h, strings.TrimSpace(name)) })
		if i < 0 {
			return 0, usageError{fmt.Errorf("%s has no column %q; its columns are %s", c.file, name, strings.Join(header, ", "))}
		}
		return i, nil
	}
	if c.Time != "" {
		if rows.time, err = find(c.Time); err != nil {
			return nil, err
		}
	} else {
		for _, name := range timeNames {
			if i, err := find(name); err == nil {
				rows.time = i
				break
			}
		}
	}
	if rows.time < 0 {
		return nil, usageError{fmt.Errorf("%s has no column named like a time: say which with --time; its columns are %s", c.file, strings.Join(header, ", "))}
	}
	if c.Temp != "" {
		for name := range strings.SplitSeq(c.Temp, ",") {
			i, err := find(name)
			if err != nil {
				return nil, err
			}
			rows.temps = append(rows.temps, i)
		}
	} else {
		for i := range header {
			if i != rows.time && i < len(first.fields) && isNumber(first.fields[i]) {
				rows.temps = append(rows.temps, i)
			}
		}
	}
	if len(rows.temps) == 0 {
		return nil, usageError{fmt.Errorf("%s has no column of numbers: say which with --temp; its columns are %s", c.file, strings.Join(header, ", "))}
	}
	for _, i := range rows.temps {
		name := nameFrom(header[i])
		switch {
		case c.Sensor != "" && len(rows.temps) == 1:
			name = c.Sensor
		case c.Sensor != "":
			name = c.Sensor + "-" + name
		}
		if !stream.ValidName(name) {
			return nil, usageError{fmt.Errorf("%q is no valid sensor: 1 to 64 characters of A-Z a-z 0-9 . _ -", name)}
		}
		rows.topics = append(rows.topics, stream.TelemetryTopic(c.Site, c.asset, name))
	}
	return rows, nil
}

func isNumber(s string) bool {
	_, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	return err == nil
}

func (r *csvRows) next() ([]rowReading, int, error) {
	var row csvRow
	if r.first != nil {
		row, r.first = *r.first, nil
	} else {
		row = r.read()
	}
	if row.err != nil {
		return nil, row.line, row.err
	}
	record, line := row.fields, row.line
	if r.time >= len(record) {
		return nil, line, rowError(fmt.Sprintf("%d fields, the time is field %d", len(record), r.time+1))
	}
	ts, err := parseTime(record[r.time], r.zone)
	if err != nil {
		return nil, line, rowError(err.Error())
	}
	r.out = r.out[:0]
	for k, i := range r.temps {
		if i >= len(record) {
			return nil, line, rowError(fmt.Sprintf("%d fields, a temperature is field %d", len(record), i+1))
		}
		temp, err := parseTemp(record[i], r.unit)
		if err != nil {
			return nil, line, rowError(err.Error())
		}
		r.out = append(r.out, rowReading{r.topics[k], stream.Reading{TS: ts, Temp: temp}})
	}
	return r.out, line, nil
}

// parseTemp reads a temperature and gives it in thousandths of a degC.
func parseTemp(s, unit string) (stream.Milli, error) {
	s = strings.TrimSpace(s)
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
		return 0, fmt.Errorf("%q is not a temperature", s)
	}
	switch unit {
	case "f":
		v = (v - 32) * 5 / 9
	case "k":
		v -= 273.15
	}
	m, ok := stream.ToMilli(v)
	if !ok {
		return 0, fmt.Errorf("%q is too large", s)
	}
	return m, nil
}

// layouts are the forms of time, besides numbers, that tables are found with; those without a zone take the one given.
var layouts = []string{
	time.RFC3339Nano, "2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05", "2006-01-02T15:04:05", "2006-01-02 15:04", "2006-01-02T15:04",
	"2006/01/02 15:04:05", "2006-01-02",
}

// parseTime reads an event time as epoch milliseconds. A number is seconds, milliseconds, microseconds or nanoseconds since 1970, told apart by its
// size: each is read so that it falls between 1973 and 5138.
func parseTime(s string, zone *time.Location) (int64, error) {
	s = strings.TrimSpace(s)
	ts, err := parseAnyTime(s, zone)
	if err != nil {
		return 0, err
	}
	if ts < stream.MinTS || ts >= stream.MaxTS {
		return 0, fmt.Errorf("%q is before 2000 or after 2248", s)
	}
	return ts, nil
}

func parseAnyTime(s string, zone *time.Location) (int64, error) {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		switch {
		case n < 1e11:
			return n * 1000, nil
		case n < 1e14:
			return n, nil
		case n < 1e17:
			return n / 1000, nil
		}
		return n / 1_000_000, nil
	}
	if v, err := strconv.ParseFloat(s, 64); err == nil && v > 0 && v < 1e14 {
		if v < 1e11 {
			v *= 1000
		}
		return int64(math.Round(v)), nil
	}
	for _, layout := range layouts {
		if t, err := time.ParseInLocation(layout, s, zone); err == nil {
			return t.UnixMilli(), nil
		}
	}
	return 0, fmt.Errorf("%q is not a time", s)
}

// jsonRows reads a reading a line.
type jsonRows struct {
	of   rowsOf
	in   *bufio.Reader
	line int
	out  [1]rowReading
}

// maxLine bounds one NDJSON line.
const maxLine = 1 << 20

func (r *jsonRows) next() ([]rowReading, int, error) {
	for {
		text, err := r.in.ReadBytes('\n')
		if len(text) == 0 && err != nil {
			return nil, r.line, err
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, r.line, err
		}
		r.line++
		if text = []byte(strings.TrimSpace(string(text))); len(text) == 0 {
			continue
		}
		if len(text) > maxLine {
			return nil, r.line, rowError("the line is longer than 1 MiB")
		}
		reading, err := r.parse(text)
		if err != nil {
			return nil, r.line, err
		}
		r.out[0] = reading
		return r.out[:], r.line, nil
	}
}

func (r *jsonRows) parse(text []byte) (rowReading, error) {
	elements := stream.Decode(nil, text, false)
	if len(elements) != 1 || elements[0].Index >= 0 {
		return rowReading{}, rowError("not one JSON object")
	}
	if e := &elements[0]; e.Reason != "" {
		return rowReading{}, rowError(string(e.Reason) + ": " + e.Detail)
	}
	where := struct{ Site, Asset, Sensor string }{r.of.Site, r.of.asset, r.of.Sensor}
	if err := json.Unmarshal(text, &where); err != nil {
		return rowReading{}, rowError("site, asset and sensor must be texts")
	}
	if !stream.ValidName(where.Site) || !stream.ValidName(where.Asset) || !stream.ValidName(where.Sensor) {
		return rowReading{}, rowError(fmt.Sprintf("site %q, asset %q, sensor %q: each must be 1 to 64 characters of A-Z a-z 0-9 . _ - (give --sensor or a field)", where.Site, where.Asset, where.Sensor))
	}
	return rowReading{stream.TelemetryTopic(where.Site, where.Asset, where.Sensor), elements[0].Reading}, nil
}
