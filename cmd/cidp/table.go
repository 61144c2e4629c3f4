package main

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/camrail/cidp/model"
)

// table reads rows of numbers from CSV.
type table struct {
	in     *csv.Reader
	header []string // nil when the first line holds numbers
	first  []string // that line; nil once it is given
}

// openTable reads the header, trimmed. A file whose first line holds numbers only has none; place numbers 0, 1, 2, ... are one.
func openTable(r io.Reader) (*table, error) {
	in := csv.NewReader(r)
	in.ReuseRecord = true
	first, err := in.Read()
	if errors.Is(err, io.EOF) {
		return nil, errors.New("the file is empty")
	}
	if err != nil {
		return nil, err
	}
	first = slices.Clone(first)
	numbers, places := true, len(first) > 2
	for i := range first {
		first[i] = strings.TrimSpace(strings.TrimPrefix(first[i], "\ufeff"))
		_, err := number(first[i])
		numbers = numbers && err == nil
		places = places && first[i] == strconv.Itoa(i)
	}
	if numbers && !places {
		return &table{in: in, first: first}, nil
	}
	return &table{in: in, header: first}, nil
}

// next gives the fields of a row, valid until the next call, and its line.
func (t *table) next() (fields []string, line int, err error) {
	if t.first != nil {
		fields, t.first = t.first, nil
		return fields, 1, nil
	}
	fields, err = t.in.Read()
	if err != nil {
		return nil, 0, err
	}
	line, _ = t.in.FieldPos(0)
	return fields, line, nil
}

// column finds a column by its name.
func (t *table) column(name string) (int, error) {
	at := slices.Index(t.header, name)
	switch {
	case t.header == nil:
		return 0, fmt.Errorf("there is no header to find the column %q by", name)
	case at < 0:
		return 0, fmt.Errorf("there is no column %q; the columns are %s", name, listed(t.header))
	case slices.Index(t.header[at+1:], name) >= 0:
		return 0, fmt.Errorf("there are two columns %q", name)
	}
	return at, nil
}

// listed names columns, not too many of them.
func listed(names []string) string {
	const most = 40
	if len(names) > most {
		return strings.Join(names[:most], ", ") + fmt.Sprintf(" and %d more", len(names)-most)
	}
	return strings.Join(names, ", ")
}

// number reads a field; an empty one, NA and NaN are missing.
func number(s string) (float64, error) {
	switch s = strings.TrimSpace(s); s {
	case "", "NA", "na", "NaN", "nan", "null":
		return math.NaN(), nil
	}
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is not a number", s)
	}
	return v, nil
}

// label reads a label: 0 or 1, false or true.
func label(s string) (uint8, error) {
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "0", "0.0", "false":
		return 0, nil
	case "1", "1.0", "true":
		return 1, nil
	}
	return 0, fmt.Errorf("label %q, only 0 and 1 (or false and true) are labels", s)
}

// read reads the rows that a model scores, and their labels when they are asked for.
func (c *modelPredictCmd) read(f *model.Forest) (rows [][]float64, labels []uint8, err error) {
	in, done, err := openPlain(c.Rows)
	if err != nil {
		return nil, nil, err
	}
	defer done()
	t, err := openTable(in)
	if err != nil {
		return nil, nil, err
	}
	columns, err := c.columns(t, f)
	if err != nil {
		return nil, nil, err
	}
	labelAt := -1
	if c.Label != "" {
		if labelAt, err = t.column(c.Label); err != nil {
			return nil, nil, err
		}
	}
	for {
		fields, line, err := t.next()
		if errors.Is(err, io.EOF) {
			return rows, labels, nil
		}
		if err != nil {
			return nil, nil, err
		}
		row := make([]float64, len(columns))
		for i, at := range columns {
			if row[i], err = number(fields[at]); err != nil {
				return nil, nil, fmt.Errorf("line %d, field %d: %w", line, at+1, err)
			}
		}
		if rows = append(rows, row); labelAt >= 0 {
			y, err := label(fields[labelAt])
			if err != nil {
				return nil, nil, fmt.Errorf("line %d: %w", line, err)
			}
			labels = append(labels, y)
		}
	}
}

// columns finds each of the model's inputs: by name, or by position when the model names none and the file does not happen to use its place names.
func (c *modelPredictCmd) columns(t *table, f *model.Forest) ([]int, error) {
	schema := f.Schema()
	columns := make([]int, len(schema))
	var missing error
	for i, s := range schema {
		at, err := t.column(s.Name)
		if err != nil && missing == nil {
			missing = err
		}
		columns[i] = at
	}
	if missing == nil {
		return columns, nil
	}
	if !f.Manifest().Positional {
		return nil, fmt.Errorf("the model finds its inputs by name: %w", missing)
	}
	var places []int
	width := len(t.header)
	if t.header == nil {
		width = len(t.first)
	}
	for i := range width {
		if t.header == nil || c.Label == "" || t.header[i] != c.Label {
			places = append(places, i)
		}
	}
	if len(places) != len(schema) {
		return nil, fmt.Errorf("the model takes its %d inputs by position and the file has %d columns", len(schema), len(places))
	}
	return places, nil
}
