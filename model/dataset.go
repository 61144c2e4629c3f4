package model

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"

	"github.com/camrail/cidp/stream"
)

// Dataset is labelled windows for training and evaluation, held by rows.
type Dataset struct {
	Schema []stream.Feature // names and units of the columns, in order
	X      [][]float64      // one row a window, as wide as Schema; NaN: missing
	Y      []uint8          // 1: fails within the horizon, 0: does not
	Group  []int32          // the asset of each row; empty when unknown
	Time   []int64          // when each row was known, in any one unit, epoch milliseconds for windows; empty when unknown
}

// Limits of a data set. A count of rows fits 26 bits, so that every product of two counts is exact in a float64.
const (
	maxRows     = 1 << 26
	maxFeatures = 1 << featureBits
)

// Check says in a sentence what makes the data unfit for training; nil when nothing does.
func (d Dataset) Check() error {
	if err := checkSchema(d.Schema); err != nil {
		return err
	}
	switch {
	case len(d.X) == 0:
		return errors.New("no rows")
	case len(d.X) > maxRows:
		return fmt.Errorf("%d rows, at most %d can be used", len(d.X), maxRows)
	case len(d.Y) != len(d.X):
		return fmt.Errorf("%d rows but %d labels", len(d.X), len(d.Y))
	case len(d.Group) != 0 && len(d.Group) != len(d.X):
		return fmt.Errorf("%d rows but %d groups", len(d.X), len(d.Group))
	case len(d.Time) != 0 && len(d.Time) != len(d.X):
		return fmt.Errorf("%d rows but %d times", len(d.X), len(d.Time))
	}
	for i, y := range d.Y {
		if y > 1 {
			return fmt.Errorf("row %d has label %d, only 0 and 1 are labels", i, y)
		}
	}
	for i, row := range d.X {
		if err := d.checkRow(i, row); err != nil {
			return err
		}
	}
	if n := d.positives(); n == 0 || n == len(d.Y) {
		return fmt.Errorf("all %d rows have label %d: both classes are needed", len(d.Y), d.Y[0])
	}
	return nil
}

func (d Dataset) checkRow(i int, row []float64) error {
	if len(row) != len(d.Schema) {
		return fmt.Errorf("row %d has %d values, the schema has %d features", i, len(row), len(d.Schema))
	}
	for j, v := range row {
		if math.IsInf(float64(float32(v)), 0) {
			return fmt.Errorf("row %d, feature %s: %v does not fit a float32", i, d.Schema[j].Name, v)
		}
	}
	return nil
}

func checkSchema(schema []stream.Feature) error {
	if len(schema) == 0 || len(schema) > maxFeatures {
		return fmt.Errorf("%d features, from 1 to %d can be used", len(schema), maxFeatures)
	}
	seen := make(map[string]bool, len(schema))
	for i, f := range schema {
		if f.Name == "" {
			return fmt.Errorf("feature %d has no name", i)
		}
		if seen[f.Name] {
			return fmt.Errorf("feature %s is named twice", f.Name)
		}
		seen[f.Name] = true
	}
	return nil
}

// Pick gives the named rows as a data set of their own; rows are shared, not copied.
func (d Dataset) Pick(rows []int) Dataset {
	out := Dataset{Schema: d.Schema, X: make([][]float64, len(rows)), Y: make([]uint8, len(rows))}
	if len(d.Group) != 0 {
		out.Group = make([]int32, len(rows))
	}
	if len(d.Time) != 0 {
		out.Time = make([]int64, len(rows))
	}
	for i, r := range rows {
		out.X[i], out.Y[i] = d.X[r], d.Y[r]
		if out.Group != nil {
			out.Group[i] = d.Group[r]
		}
		if out.Time != nil {
			out.Time[i] = d.Time[r]
		}
	}
	return out
}

func (d Dataset) positives() int {
	n := 0
	for _, y := range d.Y {
		n += int(y)
	}
	return n
}

// Groups counts the distinct assets among the rows, 0 when they are unknown.
func (d Dataset) Groups() int {
	seen := make(map[int32]bool)
	for _, g := range d.Group {
		seen[g] = true
	}
	return len(seen)
}

// digest is the SHA-256, in hex, of everything in the data: names, units, float64 bits (one NaN for all), labels, groups, times where there are any.
func (d Dataset) digest() string {
	h := sha256.New()
	var buf []byte
	for _, f := range d.Schema {
		buf = appendText(appendText(buf, f.Name), f.Unit)
	}
	buf = binary.LittleEndian.AppendUint64(buf, uint64(len(d.X)))
	buf = binary.LittleEndian.AppendUint64(buf, uint64(len(d.Group)))
	for i, row := range d.X {
		for _, v := range row {
			bits := math.Float64bits(v)
			if math.IsNaN(v) {
				bits = math.Float64bits(math.NaN())
			}
			buf = binary.LittleEndian.AppendUint64(buf, bits)
		}
		buf = append(buf, d.Y[i])
		if len(d.Group) != 0 {
			buf = binary.LittleEndian.AppendUint32(buf, uint32(d.Group[i]))
		}
		if len(d.Time) != 0 {
			buf = binary.LittleEndian.AppendUint64(buf, uint64(d.Time[i]))
		}
		h.Write(buf)
		buf = buf[:0]
	}
	return hex.EncodeToString(h.Sum(nil))
}

// appendText appends a string with its length before it, so that no two lists of strings look alike.
func appendText(dst []byte, s string) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(s)))
	return append(dst, s...)
}
