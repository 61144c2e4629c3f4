package model

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
)

// TrainConfig says how to train. The zero value is not usable: start from DefaultTrainConfig.
type TrainConfig struct {
	Trees    int // 1 to 65,536
	MaxDepth int // steps from a root to its deepest leaf, 1 to 64
	MinLeaf  int // rows a leaf holds at least, as the bootstrap counts them
	PerNode  int // features tried at a node; 0: the square root of their number, rounded down
	Seed     uint64
	Threads  int // 0: as many as the process may use. The forest does not depend on it

	Criterion      Criterion // what a split lowers; empty: Gini
	PositiveWeight float64   // how many negative rows a positive one counts as; 0 or 1: as one. Another weight is no longer a probability of what happens

	Name    string           // of the model, for people
	Source  string           // where the data come from, for people
	HeldOut *Evaluation      // what a held-out run measured, for the manifest; nil when nothing was held out
	Folds   *CrossValidation // what folds measured, for the manifest; nil when there were none
	Trial   *Trial           // against the rules, for the manifest; nil when none was held

	Calibration *Calibration // of the folds' scores, for the manifest; the forest's probabilities go through its map where it is applied; nil: none was tried

	Progress func(done, total int) // trees; called from one goroutine at a time, in rising order; may be nil
}

// DefaultTrainConfig gives 100 trees of depth 8 with leaves of 5: on the public sets tried no deeper forest ranked better.
func DefaultTrainConfig() TrainConfig {
	return TrainConfig{Trees: 100, MaxDepth: 8, MinLeaf: 5, Seed: 1}
}

// Manifest is what a model file says of its training. It holds nothing that differs between two runs of the same
// training: no time, no machine, no thread count.
type Manifest struct {
	Name       string      `json:"name"`
	Source     string      `json:"source"`
	Seed       uint64      `json:"seed"`
	Trees      int         `json:"trees"`
	MaxDepth   int         `json:"max_depth"`
	MinLeaf    int         `json:"min_leaf"`
	PerNode    int         `json:"features_per_node"`
	Rows       int         `json:"rows"`
	Positives  int         `json:"positives"`
	Groups     int         `json:"groups"` // distinct assets; 0 when unknown
	DataSHA256 string      `json:"data_sha256"`
	RowOOB     *RowOOB     `json:"row_oob"`  // null when the out-of-bag rows lack a class
	HeldOut    *Evaluation `json:"held_out"` // null when nothing was held out

	// What the fields above cannot say; a field that says nothing is not written.
	Criterion      Criterion        `json:"criterion,omitempty"`       // empty: Gini
	PositiveWeight float64          `json:"positive_weight,omitempty"` // 0: classes are not weighted
	Folds          *CrossValidation `json:"folds,omitempty"`
	Calibration    *Calibration     `json:"calibration,omitempty"` // nil: none was tried
	Positional     bool             `json:"positional,omitempty"`  // the inputs have no names of their own, only places
	Trial          *Trial           `json:"trial,omitempty"`       // nil: none was held
}

// RowOOB is what the trees say of the rows they did not see. Rows of one asset resemble each other, and the bag parts them at random, so
// these figures flatter; only a held-out set of other assets tells how the model does on assets it never saw.
type RowOOB struct {
	Rows   int     `json:"rows"`
	ROCAUC float64 `json:"roc_auc"`
	Brier  float64 `json:"brier"`
	Caveat string  `json:"caveat"`
}

const rowCaveat = "by row, not by asset: flatters, because rows of one asset resemble each other"

// Train grows a random forest (Breiman 2001): CART on 255-bin histograms by Gini impurity or entropy, a bootstrap of the rows for each tree, a
// draw of features at each node. The forest depends on data and configuration alone: the same seed gives the same file on any
// number of threads. It returns the context's error when cancelled, within the time of one node.
func Train(ctx context.Context, d Dataset, cfg TrainConfig) (*Forest, error) {
	if err := d.Check(); err != nil {
		return nil, fmt.Errorf("train forest: %w", err)
	}
	if err := cfg.settle(len(d.Schema)); err != nil {
		return nil, fmt.Errorf("train forest: %w", err)
	}
	cols, err := binColumns(ctx, d, cfg.Threads)
	if err != nil {
		return nil, fmt.Errorf("train forest: %w", err)
	}
	trees, growers, err := growAll(ctx, cols, d.Y, cfg)
	if err != nil {
		return nil, fmt.Errorf("train forest: %w", err)
	}
	p, labels := outOfBag(growers, d.Y)
	m := Manifest{
		Name: cfg.Name, Source: cfg.Source, Seed: cfg.Seed, Trees: cfg.Trees, MaxDepth: cfg.MaxDepth,
		MinLeaf: cfg.MinLeaf, PerNode: cfg.PerNode, Rows: len(d.X), Positives: d.positives(), Groups: d.Groups(),
		DataSHA256: d.digest(), RowOOB: rowOOB(p, labels), HeldOut: cfg.HeldOut, Folds: cfg.Folds, Calibration: cfg.Calibration,
		PositiveWeight: cfg.PositiveWeight, Trial: cfg.Trial,
	}
	if cfg.Criterion != Gini {
		m.Criterion = cfg.Criterion
	}
	all := parts{schema: d.Schema, manifest: m, scores: scoresOf(cfg, p)}
	for _, c := range cols {
		all.spreads = append(all.spreads, c.spread)
	}
	f, err := assemble(all, trees)
	if err != nil {
		return nil, fmt.Errorf("train forest: %w", err)
	}
	return f, nil
}

// scoresOf is the distribution of the probabilities on rows not learnt from: by folds where there were any, else out of bag; nil where every tree saw every row.
func scoresOf(cfg TrainConfig, outOfBag []float64) *ScoreDistribution {
	p, of := outOfBag, OutOfBag
	if cfg.Folds != nil && len(cfg.Folds.P) > 0 {
		p, of = cfg.Folds.P, OutOfFold
	}
	if len(p) == 0 {
		return nil
	}
	if cfg.Calibration != nil && cfg.Calibration.Applied {
		mapped := make([]float64, len(p))
		for i, v := range p {
			mapped[i] = knots(cfg.Calibration.Knots).at(v)
		}
		p = mapped
	}
	return &ScoreDistribution{of, spreadOf(p)}
}

// Weights beyond these leave nothing of one class.
const minWeight, maxWeight = 1e-6, 1e6

// settle checks the configuration and fills what it leaves open.
func (c *TrainConfig) settle(features int) error {
	switch {
	case c.Trees < 1 || c.Trees > maxTrees:
		return fmt.Errorf("%d trees, from 1 to %d can be grown", c.Trees, maxTrees)
	case c.MaxDepth < 1 || c.MaxDepth > 64:
		return fmt.Errorf("depth %d, from 1 to 64 is allowed", c.MaxDepth)
	case c.MinLeaf < 1 || c.MinLeaf > maxRows:
		return fmt.Errorf("leaves of at least %d rows, from 1 to %d is allowed", c.MinLeaf, maxRows)
	case c.PerNode < 0 || c.PerNode > features:
		return fmt.Errorf("%d features a node of %d", c.PerNode, features)
	case c.Criterion != "" && c.Criterion != Gini && c.Criterion != Entropy:
		return fmt.Errorf("criterion %q, only %s and %s are known", c.Criterion, Gini, Entropy)
	case c.PositiveWeight != 0 && !(c.PositiveWeight >= minWeight && c.PositiveWeight <= maxWeight):
		return fmt.Errorf("a positive row counted as %v, from %v to %v is allowed", c.PositiveWeight, minWeight, maxWeight)
	case c.Threads < 0:
		return fmt.Errorf("%d threads", c.Threads)
	}
	if c.PerNode == 0 {
		for c.PerNode = 1; (c.PerNode+1)*(c.PerNode+1) <= features; {
			c.PerNode++
		}
	}
	if c.Threads == 0 {
		c.Threads = runtime.GOMAXPROCS(0)
	}
	if c.PositiveWeight == 1 {
		c.PositiveWeight = 0
	}
	c.Threads = min(c.Threads, c.Trees)
	return nil
}

// growAll grows the trees on cfg.Threads goroutines, each with its own grower. They have ended when it returns.
func growAll(ctx context.Context, cols []column, y []uint8, cfg TrainConfig) ([]tree, []*grower, error) {
	trees := make([]tree, cfg.Trees)
	growers := make([]*grower, cfg.Threads)
	shared := newMeasure(cfg, len(y))
	var next atomic.Int64
	var wg sync.WaitGroup
	var mu sync.Mutex // orders the calls of Progress and guards done
	done := 0
	for i := range growers {
		g := newGrower(cols, y, cfg, shared)
		growers[i] = g
		wg.Go(func() {
			for t := int(next.Add(1)) - 1; t < len(trees); t = int(next.Add(1)) - 1 {
				grown, err := g.grow(ctx, t)
				if err != nil {
					return // only a cancelled context ends a tree early
				}
				trees[t] = grown
				mu.Lock()
				done++
				if cfg.Progress != nil {
					cfg.Progress(done, len(trees))
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if done < len(trees) {
		return nil, nil, ctx.Err()
	}
	return trees, growers, nil
}

// outOfBag adds the growers' integer sums up: the probability and the label of each row that some tree did not see.
func outOfBag(growers []*grower, y []uint8) (p []float64, labels []uint8) {
	for r := range y {
		var sum, seen uint64
		for _, g := range growers {
			sum += g.oobSum[r]
			seen += uint64(g.oobSeen[r])
		}
		if seen > 0 {
			p = append(p, float64(sum)/(1<<32)/float64(seen))
			labels = append(labels, y[r])
		}
	}
	return p, labels
}

// rowOOB measures them; nil when a class is missing among them.
func rowOOB(p []float64, labels []uint8) *RowOOB {
	e, err := Evaluate(p, labels)
	if err != nil {
		return nil
	}
	return &RowOOB{Rows: e.Rows, ROCAUC: e.ROCAUC, Brier: e.Brier, Caveat: rowCaveat}
}

// assemble lays the trees one after another. Rows at the nodes are known of all trees or of none.
func assemble(p parts, trees []tree) (*Forest, error) {
	total := 0
	for _, t := range trees {
		total += len(t.nodes)
	}
	if total > maxNodes {
		return nil, fmt.Errorf("the forest has %d nodes, at most %d fit a file: use fewer trees, less depth or larger leaves", total, maxNodes)
	}
	p.roots = make([]uint32, 0, len(trees))
	p.nodes = make([]uint64, 0, total)
	p.values = make([]float32, 0, total)
	for _, t := range trees {
		base := uint64(len(p.nodes))
		p.roots = append(p.roots, uint32(base))
		for _, n := range t.nodes {
			p.nodes = append(p.nodes, n+base<<featureBits)
		}
		p.values = append(p.values, t.values...)
		p.covers = append(p.covers, t.covers...)
	}
	if len(p.covers) != total {
		p.covers = nil
	}
	return newForest(p)
}
