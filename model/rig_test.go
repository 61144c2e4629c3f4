package model_test

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/camrail/cidp/model"
	"github.com/camrail/cidp/stream"
)

// table reads a file of numbers between tabs or blanks.
func table(t *testing.T, r io.Reader) (rows [][]float64) {
	t.Helper()
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		var row []float64
		for _, f := range strings.Fields(lines.Text()) {
			v, err := strconv.ParseFloat(f, 64)
			if err != nil {
				t.Fatal(err)
			}
			row = append(row, v)
		}
		rows = append(rows, row)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return rows
}

// rig is the ZeMA hydraulic rig (UCI 447, CC BY 4.0): a cycle of 60 s is a row, with the figures that a window has of each of its four temperatures. Cycles that follow one another in one
// state of the rig resemble each other: they are one group.
func rig(t *testing.T) (d model.Dataset, states [][]float64) {
	t.Helper()
	states = table(t, shared(t, "data/hydraulic/profile.txt.gz"))
	d.X = make([][]float64, len(states))
	for s := 1; s <= 4; s++ {
		for _, figure := range []string{"mean", "min", "max", "std", "last", "slope"} {
			d.Schema = append(d.Schema, stream.Feature{Name: fmt.Sprintf("ts%d_%s", s, figure)})
		}
		for i, cycle := range table(t, shared(t, fmt.Sprintf("data/hydraulic/TS%d.txt.gz", s))) {
			d.X[i] = append(d.X[i], figuresOf(cycle)...)
		}
	}
	group := int32(0)
	for i := range states {
		if i > 0 && fmt.Sprint(states[i][:4]) != fmt.Sprint(states[i-1][:4]) {
			group++
		}
		d.Group = append(d.Group, group)
	}
	return d, states
}

func figuresOf(v []float64) []float64 {
	var sum, square, xy, xx float64
	low, high := math.Inf(1), math.Inf(-1)
	for _, x := range v {
		sum += x
		low, high = min(low, x), max(high, x)
	}
	mean := sum / float64(len(v))
	for i, x := range v {
		at := float64(i) - float64(len(v)-1)/2
		square += float64((x - mean) * (x - mean))
		xy += float64(at * (x - mean))
		xx += float64(at * at)
	}
	return []float64{mean, low, high, math.Sqrt(square / float64(len(v))), v[len(v)-1], xy / xx * 60}
}

// TestRig is the cooler of a real rig, told from four temperatures: the forest and the best single figure side by side, on folds that never part a state. One temperature tells the cooler:
// the forest has nothing to add, and its trial says so.
func TestRig(t *testing.T) {
	sequential(t)
	d, states := rig(t)
	for _, task := range []struct {
		name  string
		label func(cooler float64) bool
	}{
		{"cooler below full efficiency", func(c float64) bool { return c < 100 }},
		{"cooler close to total failure", func(c float64) bool { return c == 3 }},
	} {
		t.Run(task.name, func(t *testing.T) {
			d.Y = make([]uint8, len(d.X))
			for i := range d.Y {
				if task.label(states[i][0]) {
					d.Y[i] = 1
				}
			}
			how := model.DefaultFoldConfig()
			cv, err := model.CrossValidate(t.Context(), d, model.DefaultTrainConfig(), how)
			if err != nil {
				t.Fatal(err)
			}
			folds, err := model.Folds(d, how)
			if err != nil {
				t.Fatal(err)
			}
			trial, err := model.HoldTrial(model.TrialOf(d, cv, folds), model.DefaultTrialConfig())
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%d cycles in %d runs of one state, %d of them positive", trial.Rows, trial.Groups, trial.Failures)
			for _, f := range append([]model.TrialFigures{trial.Forest}, trial.Rules[:3]...) {
				t.Logf("| %s | ROC %.4f | PR %.4f | misses %d of %d at 0.1 %% |", f.Name, f.ROCAUC, f.PRAUC, f.Missed, trial.Failures)
			}
			t.Logf("passed %t: %s", trial.Passed, trial.Why)
			if trial.Rules[0].ROCAUC < 0.99 || trial.Forest.ROCAUC < 0.9 {
				t.Errorf("ROC of the best figure %.4f, of the forest %.4f: research has 0.995 and more, and 0.946 and more", trial.Rules[0].ROCAUC, trial.Forest.ROCAUC)
			}
			if trial.Passed {
				t.Error("the forest passed, though one temperature tells the cooler")
			}
		})
	}
}
