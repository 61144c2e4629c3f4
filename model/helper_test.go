package model_test

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/camrail/cidp/model"
	"github.com/camrail/cidp/stream"
)

// sequential skips, under the race detector, a test in which nothing runs beside anything else but the threads of a training, which many others have: there is no race to find, and it takes ten times as long.
func sequential(t *testing.T) {
	t.Helper()
	if raced {
		t.Skip("nothing in it is concurrent but the threads of a training: TestSameBytesOnAnyThreads has those")
	}
}

// numbered is a schema of n features x0, x1, ...
func numbered(n int) []stream.Feature {
	schema := make([]stream.Feature, n)
	for i := range schema {
		schema[i] = stream.Feature{Name: fmt.Sprintf("x%d", i), Unit: "1"}
	}
	return schema
}

// noisy is a data set with a signal that no single feature holds: the label leans on a sum of products of features, 15 % or so are positive, one
// value in 50 is missing, and 20 rows make a group. Its values have three decimals, like the line's.
func noisy(rows, features int, seed uint64) model.Dataset {
	rng := rand.New(rand.NewPCG(seed, 1))
	d := model.Dataset{Schema: numbered(features)}
	for i := range rows {
		x := make([]float64, features)
		for j := range x {
			x[j] = math.Round(rng.NormFloat64()*1000) / 1000
		}
		score := x[0] + x[1%features]*x[2%features] + 0.5*rng.NormFloat64()
		for j := range x {
			if rng.IntN(50) == 0 {
				x[j] = math.NaN()
			}
		}
		d.X = append(d.X, x)
		d.Y = append(d.Y, label(score > 1.4))
		d.Group = append(d.Group, int32(i/20))
	}
	return d
}

// fleet is windows of a made-up fleet with the line's own features: warm bearings, a few of which run hot against mate and ambient.
func fleet(rows int, seed uint64) model.Dataset {
	rng := rand.New(rand.NewPCG(seed, 2))
	d := model.Dataset{Schema: stream.FeatureList[:]}
	for i := range rows {
		ambient, rise := 20+15*rng.Float64(), 15+10*rng.Float64()
		sick := rng.IntN(5) == 0
		excess := 3 * rng.NormFloat64()
		if sick {
			excess += 40 * rng.Float64()
		}
		x := bearing(ambient+rise+excess, ambient, excess)
		d.X = append(d.X, x[:])
		d.Y = append(d.Y, label(sick && excess > 10))
		d.Group = append(d.Group, int32(i/20))
	}
	return d
}

// bearing is the features of a bearing at mean degC, with ambient and the difference to its mate; the rest is ordinary.
func bearing(mean, ambient, mate float64) stream.Features {
	return stream.Features{
		stream.FKind: float64(stream.Bearing), stream.FMean: mean, stream.FMax: mean + 0.5, stream.FMin: mean - 0.5,
		stream.FStd: 0.2, stream.FLast: mean, stream.FSlope: 0.1, stream.FShortLong: 0, stream.FAmbient: ambient,
		stream.FOverAmbient: mean - ambient, stream.FSpeed: 70, stream.FLoad: 60, stream.FBrakeShare: 0,
		stream.FRiseBaseline: mate, stream.FPeerDiff: mate, stream.FPeerZ: mate / 2, stream.FMateDiff: mate,
		stream.FHeading: mean - ambient + 2, stream.FCompleteness: 1, stream.FSuspectShare: 0,
	}
}

func label(b bool) uint8 {
	if b {
		return 1
	}
	return 0
}

// small is a quick configuration.
func small() model.TrainConfig {
	cfg := model.DefaultTrainConfig()
	cfg.Trees, cfg.MaxDepth = 20, 6
	return cfg
}

func mustTrain(tb testing.TB, d model.Dataset, cfg model.TrainConfig) *model.Forest {
	tb.Helper()
	f, err := model.Train(context.Background(), d, cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return f
}

func mustEncode(tb testing.TB, f *model.Forest) []byte {
	tb.Helper()
	var b bytes.Buffer
	if err := f.Encode(&b); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

func mustDecode(tb testing.TB, file []byte) *model.Forest {
	tb.Helper()
	f, err := model.Decode(bytes.NewReader(file))
	if err != nil {
		tb.Fatal(err)
	}
	return f
}

// mustFail fails the test unless err names every word.
func mustFail(tb testing.TB, err error, words ...string) {
	tb.Helper()
	if err == nil {
		tb.Fatalf("no error, want one about %q", words)
	}
	for _, w := range words {
		if !bytes.Contains([]byte(err.Error()), []byte(w)) {
			tb.Fatalf("error %q does not say %q", err, w)
		}
	}
}
