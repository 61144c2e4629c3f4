package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/camrail/cidp/model"
	"github.com/camrail/cidp/simulator"
	"github.com/camrail/cidp/stream"
)

type trainCmd struct {
	Out     string        `help:"File to write the model to. Default ${default}." placeholder:"MODEL" default:"default.cidpmodel"`
	Seed    uint64        `help:"Seed of fleet and forest." default:"1"`
	Assets  int           `help:"Simulated assets." default:"1440"`
	Span    time.Duration `help:"Event time that each is observed." default:"4h"`
	Horizon time.Duration `help:"A window is positive when its component fails within this. 0: 40m of the simulated fleet, half an hour of running with the stops that come with it; 30m of running of a warehouse's history, where standing does not count as far as speed is known." default:"0s"`
	Trees   int           `help:"Trees." default:"100"`
	Depth   int           `help:"Greatest depth; 0: 10 on the simulated fleet, 8 on a table or a warehouse's history." default:"0"`
	MinLeaf int           `help:"Fewest windows in a leaf." default:"5"`
	Threads int           `help:"Threads; the model does not depend on it." default:"0"`

	trainTable
	trainHistory
}

func (trainCmd) Help() string {
	return `Example:
  cidp train --seed 1 --out model/default.cidpmodel
Trains the forest on a simulated fleet through the same windows as live readings have. With its defaults it reproduces the model that comes with the
program, byte for byte. A quarter of the assets is held out to measure it, and three folds by asset measure its calibration.
  cidp train --csv windows.csv.gz --label fails_within_30 --group engine --test others.csv.gz --out engine.cidpmodel
Trains on a table. Folds never part an asset (--group) or test the past (--time); columns like clocks are left out, one that tells the label exactly is refused.
  cidp train --data database --truth maintenance.csv --out own.cidpmodel
Trains on a warehouse's own history, live or stopped: its valid windows, labelled by what workshops found (cidp/v1/verdicts/…) and by a file. Left out are windows after a failure until the component was found
sound, and those of which less than the horizon is known. Failures are told apart by component: what is found of it before it was sound again is the same failure.
Probabilities are calibrated where that lowers the Brier score of rows not learnt from (--calibrate off: never). Ctrl-C stops it; then no model is written.`
}

func (c *trainCmd) Run(ctx context.Context, t *terminal) error {
	err := c.run(ctx, t)
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return errors.New("training was stopped; no model was written")
	}
	return err
}

func (c *trainCmd) run(ctx context.Context, t *terminal) error {
	if err := c.checkFlags(); err != nil {
		return usageError{err}
	}
	if c.Horizon == 0 {
		c.Horizon = 40 * time.Minute
		if c.Data != "" {
			c.Horizon = 30 * time.Minute
		}
	}
	if c.Data != "" {
		c.Depth = cmp.Or(c.Depth, 8)
		return c.runHistory(ctx, t)
	}
	if c.CSV != "" {
		c.Depth = cmp.Or(c.Depth, 8)
		return c.runTable(ctx, t)
	}
	c.Depth = cmp.Or(c.Depth, 10)
	if c.Label != "" || c.Group != "" || c.Time != "" || c.Test != "" || c.Split != "" || len(c.Drop)+len(c.Keep) > 0 {
		return usageError{errors.New("--label, --group, --time, --test, --split, --drop and --keep are for training on a table: give it with --csv")}
	}
	from := time.Now()
	forest, err := c.train(ctx, t)
	if err != nil {
		return err
	}
	took := time.Since(from)
	size, err := writeModel(c.Out, forest)
	if err != nil {
		return err
	}
	if c.JSON {
		return c.say(t, forest, size, trainedOn{}, took)
	}
	manifest, err := json.MarshalIndent(forest.Manifest(), "", "  ")
	if err != nil {
		return fmt.Errorf("describe model: %w", err)
	}
	fmt.Fprintf(t.out, "%s\nmodel %s, %d bytes: %s\n", manifest, forest.ID(), size, c.Out)
	return nil
}

// heldOutShare of the assets measures the forest and trains nothing.
const heldOutShare = 0.25

// fleetFolds is how many folds measure the fleet's forest, and its calibration: there are so many windows that three are plenty.
const fleetFolds = 3

// train makes the data, measures a forest on held-out assets, and grows the final one on all of them with that measure in its manifest.
func (c *trainCmd) train(ctx context.Context, t *terminal) (*model.Forest, error) {
	data, err := c.dataset(ctx, t)
	if err != nil {
		return nil, err
	}
	cfg := model.TrainConfig{Trees: c.Trees, MaxDepth: c.Depth, MinLeaf: c.MinLeaf, Seed: c.Seed, Threads: c.Threads,
		PerNode: c.PerNode, Criterion: model.Criterion(c.Criterion), PositiveWeight: c.PositiveWeight,
		Name: "default", Source: fmt.Sprintf("cidp train --seed %d --assets %d --span %s --horizon %s", c.Seed, c.Assets, c.Span, c.Horizon)}
	learn, held, err := model.GroupSplit(data.Group, heldOutShare, c.Seed)
	if err != nil {
		return nil, fmt.Errorf("split assets: %w", err)
	}
	probe, err := c.grow(ctx, t, data.Pick(learn), cfg, "measure")
	if err != nil {
		return nil, err
	}
	if err := data.measure(probe, held, &cfg); err != nil {
		return nil, err
	}
	if c.Folds > 0 {
		if err := c.crossValidate(ctx, t, data.Dataset, &cfg, model.FoldConfig{Split: model.ByGroup, Folds: min(c.Folds, fleetFolds), Seed: c.Seed}); err != nil {
			return nil, err
		}
	}
	return c.grow(ctx, t, data.Dataset, cfg, "train")
}

func (c *trainCmd) grow(ctx context.Context, t *terminal, d model.Dataset, cfg model.TrainConfig, what string) (*model.Forest, error) {
	bar := newProgress(t, int64(cfg.Trees), what)
	defer bar.close()
	cfg.Progress = func(done, _ int) { bar.set(int64(done)) }
	forest, err := model.Train(ctx, d, cfg)
	if err != nil {
		return nil, fmt.Errorf("train forest: %w", err)
	}
	return forest, nil
}

// Fleets of training: small, each with its own weather, season and reading rate, so that the forest sees them all.
const fleetAssets = 12

var (
	trainingRates = []float64{0.2, 1, 0.1, 0.5}
	trainingStart = time.Date(2025, 1, 6, 3, 0, 0, 0, time.UTC)
)

// recipe is what a fleet of training is made of.
type recipe struct {
	form
	faults []string
	share  float64 // of sensors that are faulty
	few    bool    // only components of which a vehicle has few are learnt from
}

// trainingRecipe gives the recipe of the i-th fleet. In two of three every fault comes, and half of those send less, so that the forest knows a sensor of which less is known: without
// conditions, without neighbours, without either. The others are for what is rare in them and hard to tell: sensors that err slowly beside sound components, and components of which a
// vehicle has few.
func trainingRecipe(i int) recipe {
	forms := [...]form{{}, {}, {bare: true}, {}, {alone: true}, {bare: true, alone: true}}
	if i%3 < 2 {
		return recipe{form: forms[(i-i/3)%len(forms)], faults: []string{"all"}, share: 0.25}
	}
	switch i / 3 % 5 {
	case 0, 2:
		return recipe{faults: []string{simulator.Drift, simulator.Fouling}, share: 0.25}
	case 1, 3:
		return recipe{faults: []string{simulator.Drift}, share: 0.7, few: true}
	default:
		return recipe{faults: []string{simulator.BlockedCooling}, share: 0.25}
	}
}

type form struct {
	bare  bool // no ambient, speed, load or brake
	alone bool // every sensor is an asset of its own
}

// trainingStep parts the starts of two fleets: over a year of them, every season and hour of the day comes.
const trainingStep = 13*24*time.Hour + 7*time.Hour

// dataset runs the fleets through the windower and labels the valid windows. The fleets' order, not the threads', decides the rows' order.
func (c *trainCmd) dataset(ctx context.Context, t *terminal) (fleetData, error) {
	fleets := (c.Assets + fleetAssets - 1) / fleetAssets
	parts := make([]fleetRows, fleets)
	errs := make([]error, fleets)
	bar := newProgress(t, int64(fleets), "simulate")
	defer bar.close()
	next := make(chan int)
	var workers sync.WaitGroup
	var done sync.Mutex
	finished := int64(0)
	threads := c.Threads
	if threads <= 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	for range threads {
		workers.Go(func() {
			for i := range next {
				parts[i], errs[i] = c.fleet(ctx, i)
				done.Lock()
				finished++
				bar.set(finished)
				done.Unlock()
			}
		})
	}
	for i := range fleets {
		next <- i
	}
	close(next)
	workers.Wait()
	d := fleetData{Dataset: model.Dataset{Schema: stream.FeatureList[:]}}
	if err := errors.Join(errs...); err != nil {
		return d, err
	}
	for i := range parts {
		d.add(&parts[i])
	}
	return d, nil
}

// fleetSeed is the seed of the i-th fleet of a training.
func fleetSeed(seed uint64, i int) uint64 { return seed*1_000_003 + uint64(i) }

// fleet simulates and windows one fleet.
func (c *trainCmd) fleet(ctx context.Context, i int) (fleetRows, error) {
	how := trainingRecipe(i)
	rows := fleetRows{common: how.faults[0] == "all", first: int32(i << 12), rules: model.DefaultRules(), holds: map[int64]model.Hold{}}
	fleet, err := simulator.New(simulator.Config{
		Seed: fleetSeed(c.Seed, i), Assets: min(fleetAssets, c.Assets-i*fleetAssets), RateHz: trainingRates[i%len(trainingRates)],
		Start: trainingStart.Add(time.Duration(i) * trainingStep), Span: c.Span, Faults: how.faults, OtherShare: 0.25, FaultShare: how.share,
	})
	if err != nil {
		return rows, err
	}
	topics := fleetTopics(fleet, how.form)
	cfg := stream.DefaultConfig()
	cfg.FailShare = 0 // a good window beside bad ones is one to learn from
	windower, err := stream.NewWindower(cfg, nil, func(w *stream.Window) bool {
		at := topics.places[w.Sensor.Asset+"/"+w.Sensor.Name]
		fails := fleet.FailsWithin(at.Asset, at.Name, w.End, c.Horizon)
		fault, faulty := fleet.Fault(at.Asset, at.Name, w.End)
		neighbour := faulty && fault.Fault == simulator.DraggingBrake && fault.FailureMs == 0
		rows.follow(w)
		if learnable(w) && !neighbour && !(how.few && at.Kind == stream.Bearing) { // a bearing beside a burning disc is neither sound nor failing
			rows.add(w, fails, int32(i*fleetAssets+at.AssetIndex), at)
		}
		return rows.holds[w.Sensor.ID].Level != model.Normal // as where the rules speak alone: what is going to fail is not known yet
	})
	if err != nil {
		return rows, err
	}
	end := fleet.Now().Add(c.Span)
	var samples []simulator.Sample
	for n := 0; fleet.Now().Before(end); n++ {
		if n%256 == 0 {
			if ctx.Err() != nil {
				return rows, ctx.Err()
			}
			windower.Take()
		}
		samples = fleet.Step(samples[:0])
		received := fleet.Now().UnixMilli()
		for k := range samples {
			if err := topics.feed(windower, &samples[k], received); err != nil {
				return rows, err
			}
		}
	}
	return rows, nil
}

// topics names the topics of a fleet's sensors and assets, in the form they are fed.
type topics struct {
	form
	sensors, assets []string
	places          map[string]simulator.SensorInfo // by asset and sensor as fed
}

func fleetTopics(f *simulator.Fleet, as form) topics {
	t := topics{form: as, places: map[string]simulator.SensorInfo{}}
	for k, s := range f.Sensors() {
		asset := s.Asset
		if as.alone {
			asset = fmt.Sprintf("%s.%d", s.Asset, k)
		}
		t.places[asset+"/"+s.Name] = s
		t.sensors = append(t.sensors, stream.TelemetryTopic(s.Site, asset, s.Name))
		for len(t.assets) <= s.AssetIndex {
			t.assets = append(t.assets, stream.ContextTopic(s.Site, asset))
		}
	}
	return t
}

func (t topics) feed(w *stream.Windower, s *simulator.Sample, received int64) (err error) {
	switch {
	case s.Sensor < 0 && (t.bare || t.alone):
	case s.Sensor < 0:
		_, err = w.FeedContext(t.assets[s.Asset], stream.Context{TS: s.TS, Conditions: s.Conditions}, received, 0)
	default:
		r := s.Reading
		if t.bare {
			r.Conditions = stream.Conditions{Has: r.Has & stream.HasSeq}
		}
		_, err = w.FeedReading(t.sensors[s.Sensor], r, received, 0)
	}
	return err
}
