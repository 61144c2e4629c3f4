package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/camrail/cidp/cmd/cidp/console"
	"github.com/camrail/cidp/cmd/cidp/models"
	"github.com/camrail/cidp/model"
)

type modelShowCmd struct {
	Model         string `arg:"" optional:"" help:"Model file, or the id of a model in the registry; the one that comes with the program by default."`
	registryFlags `embed:""`
	JSON          bool `name:"json" help:"Print one JSON document."`
}

func (modelShowCmd) Help() string {
	return `Example:
  cidp model show forest.cidpmodel
  cidp model show 3f2a9c0d11e84b57 --data database`
}

// shown is what is said of a model.
type shown struct {
	Model    string         `json:"model"`
	Trees    int            `json:"trees"`
	Nodes    int            `json:"nodes"`
	Depth    int            `json:"depth"`
	NotKnown []string       `json:"not_known"` // what an imported model does not say of its training
	Base     float64        `json:"base"`
	Features []shownFeature `json:"features"`
	Manifest model.Manifest `json:"manifest"`
	Live     bool           `json:"may_go_live"` // by the trial in its manifest
	Why      string         `json:"why"`         // or why not

	Scores *model.ScoreDistribution `json:"score_distribution,omitempty"` // on rows not learnt from
}

// notKnown says what the model does not know of its training, and what that costs.
func notKnown(f *model.Forest) []string {
	said := []string{}
	if !f.Covered() {
		said = append(said, "training rows of the nodes: no exact Shapley values, path contributions only")
	}
	if _, ok := f.Distribution(0); !ok {
		said = append(said, "distributions of the inputs: no drift of them, and nothing is said to be usual")
	}
	if _, ok := f.ScoreDistribution(); !ok {
		said = append(said, "distribution of the score: no drift of it")
	}
	return said
}

type shownFeature struct {
	Name string `json:"name"`
	Unit string `json:"unit"`

	Distribution *model.Distribution `json:"distribution,omitempty"` // over the training rows
}

func (c *modelShowCmd) Run(ctx context.Context, t *terminal) error {
	if _, err := os.Stat(c.Model); models.IsID(c.Model) && err != nil {
		return c.registered(ctx, t)
	}
	f, err := openForest(c.Model)
	if err != nil {
		return err
	}
	s := shown{Model: f.ID(), Trees: f.Trees(), Nodes: f.Nodes(), Depth: f.Depth(), Base: f.Base(), Manifest: f.Manifest(), NotKnown: notKnown(f)}
	s.Live, s.Why = f.MayGoLive()
	for i, x := range f.Schema() {
		s.Features = append(s.Features, shownFeature{Name: x.Name, Unit: x.Unit})
		if d, ok := f.Distribution(i); ok {
			s.Features[i].Distribution = &d
		}
	}
	if d, ok := f.ScoreDistribution(); ok {
		s.Scores = &d
	}
	if c.JSON {
		return printJSON(t.out, s)
	}
	fmt.Fprintf(t.out, "model %s (%s): %d trees, %d nodes, depth %d, base probability %.4f\n", s.Model, s.Manifest.Name, s.Trees, s.Nodes, s.Depth, s.Base)
	named := "by name"
	if s.Manifest.Positional {
		named = "by position"
	}
	fmt.Fprintf(t.out, "%d inputs, %s:", len(s.Features), named)
	for _, x := range s.Features {
		fmt.Fprintf(t.out, " %s", x.Name)
		if x.Unit != "" && x.Unit != "1" {
			fmt.Fprintf(t.out, " (%s)", x.Unit)
		}
	}
	may := "it may go live"
	if !s.Live {
		may = "it runs in shadow"
	}
	manifest, err := json.MarshalIndent(s.Manifest, "", "  ")
	if err != nil {
		return fmt.Errorf("describe model: %w", err)
	}
	fmt.Fprintf(t.out, "\n%s: %s\n%s\n", may, readable(s.Why, 0), manifest)
	for _, said := range s.NotKnown {
		fmt.Fprintf(t.out, "not known: %s\n", said)
	}
	if c := s.Manifest.Calibration; c != nil {
		printCalibration(t.out, c)
	}
	return nil
}

// registered shows a model of the registry.
func (c *modelShowCmd) registered(ctx context.Context, t *terminal) error {
	m, err := c.one(ctx, c.Model)
	if errors.Is(err, console.ErrNotFound) {
		return fmt.Errorf("the registry has no model %s: cidp model list shows what there is", c.Model)
	}
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(t.out, m)
	}
	return printModel(t.out, &m)
}

// printCalibration says what calibration does for the model, and how well probabilities fit what happened before and after.
func printCalibration(w io.Writer, c *model.Calibration) {
	applied := "not applied"
	if c.Applied {
		applied = fmt.Sprintf("applied, %d knots", len(c.Knots))
	}
	fmt.Fprintf(w, "calibration, %s by %s: %s: %s\n", c.Method, c.Split, applied, c.Why)
	for _, side := range []struct {
		name string
		fit  model.Fit
	}{{"before", c.Before}, {"after", c.After}} {
		fmt.Fprintf(w, "reliability %s: Brier %.6f, calibration error %.4f\n", side.name, side.fit.Brier, side.fit.ECE)
		for _, b := range side.fit.Bins {
			fmt.Fprintf(w, "  told %.1f to %.1f: %7d rows, told %.4f, happened %.4f\n", b.From, b.To, b.Rows, b.Mean, b.Share)
		}
	}
}
