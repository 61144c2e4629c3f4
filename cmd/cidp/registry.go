package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"text/tabwriter"

	"github.com/camrail/cidp/cmd/cidp/console"
	"github.com/camrail/cidp/cmd/cidp/models"
	"github.com/camrail/cidp/cmd/cidp/platform"
	"github.com/camrail/cidp/model"
	"github.com/camrail/cidp/store"
)

// registryFlags say which registry is meant: that of a data folder. While a platform runs on it, that is asked.
type registryFlags struct {
	Data     string `help:"Data folder of the registry; a running cidp that has it is asked over HTTP. Default ${default}." default:"database" placeholder:"DIR"`
	askFlags `embed:""`
}

// page reads the registry: from the database, live or stopped, or, where there is none here, from the platform.
func (c *registryFlags) page(ctx context.Context) (page console.ModelPage, err error) {
	if c.here() {
		return platform.ReadModels(ctx, c.Data)
	}
	if err = c.send(ctx, http.MethodGet, "/api/v1/models", nil, &page); errors.Is(err, errSilent) {
		err = fmt.Errorf("%s holds no database, and %w", c.Data, err)
	}
	return page, err
}

// one reads one model of it.
func (c *registryFlags) one(ctx context.Context, id string) (m console.Model, err error) {
	if c.here() {
		page, err := platform.ReadModels(ctx, c.Data)
		if err != nil {
			return m, err
		}
		return platform.OneModel(page, id)
	}
	if err = c.send(ctx, http.MethodGet, "/api/v1/models/"+url.PathEscape(id), nil, &m); errors.Is(err, errSilent) {
		err = fmt.Errorf("%s holds no database, and %w", c.Data, err)
	}
	return m, err
}

// here says whether the data folder has a database.
func (c *registryFlags) here() bool {
	_, err := os.Stat(filepath.Join(c.Data, platform.DatabaseName))
	return err == nil
}

// move asks something of a model: of the database under its lock, or, where a process holds that or there is none, of the platform.
func (c *registryFlags) move(ctx context.Context, action, id string) (out console.ModelResult, err error) {
	by, err := c.who()
	if err != nil {
		return out, err
	}
	if c.here() {
		by := by
		if by == "" {
			by = c.User
		}
		out, err = platform.MoveModel(c.Data, console.ModelRequest{Action: action, ID: id, Actor: by, Note: c.Note})
		if !errors.Is(err, store.ErrLocked) {
			return out, err
		}
	}
	err = c.send(ctx, http.MethodPost, "/api/v1/models/"+action, struct {
		ID   string `json:"id"`
		By   string `json:"by"`
		Note string `json:"note"`
	}{id, by, c.Note}, &out)
	return out, err
}

// told prints what became of a request.
func told(out io.Writer, r console.ModelResult, asJSON bool) error {
	if asJSON {
		return printJSON(out, r)
	}
	if _, err := fmt.Fprintf(out, "model %s: %s: %s\n", r.ID, r.State, readable(r.Why, 0)); err != nil {
		return fmt.Errorf("print answer: %w", err)
	}
	return nil
}

type modelAddCmd struct {
	File          string `arg:"" optional:"" help:"Model file; the model that comes with the program by default."`
	registryFlags `embed:""`
	JSON          bool `name:"json" help:"Print one JSON document."`
}

func (modelAddCmd) Help() string {
	return fmt.Sprintf(`Example:
  cidp model add forest.cidpmodel --data database
Copies the file to models/ in the data folder, under the hash of its content, and lets it run in shadow: it scores every window beside what is live, and is told to nobody.
At most %d models run in shadow.`, models.MaxShadows)
}

func (c *modelAddCmd) Run(ctx context.Context, t *terminal) error {
	f, err := c.read()
	if err != nil {
		return err
	}
	if !c.here() {
		return fmt.Errorf("%s holds no database: start cidp run --data %s once, or name another folder with --data", c.Data, c.Data)
	}
	if err := models.Put(c.Data, f); err != nil {
		return err
	}
	page, err := c.page(ctx)
	if err != nil {
		return err
	}
	if m, err := platform.OneModel(page, f.ID()); err == nil && m.State == string(store.ModelActive) {
		return told(t.out, console.ModelResult{ID: m.ID, State: m.State, Why: m.Why}, c.JSON)
	}
	r, err := c.move(ctx, store.ActionShadow, f.ID())
	if err != nil {
		return err
	}
	return told(t.out, r, c.JSON)
}

func (c *modelAddCmd) read() (*model.Forest, error) {
	if c.File == "" {
		return model.Default()
	}
	return models.Read(c.File)
}

type modelListCmd struct {
	registryFlags `embed:""`
	JSON          bool `name:"json" help:"Print one JSON document."`
}

func (modelListCmd) Help() string {
	return `Example:
  cidp model list --data database
What is live, what runs in shadow and why, and how a shadow differs from what is live: share of windows of the last day in which their levels differ, mean difference of
the probabilities.`
}

func (c *modelListCmd) Run(ctx context.Context, t *terminal) error {
	page, err := c.page(ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		page.List()
		return printJSON(t.out, page)
	}
	fmt.Fprintf(t.out, "live: %s: %s\n", page.Live, readable(page.Why, 0))
	if len(page.Models) == 0 {
		return nil
	}
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\nMODEL\tSTATE\tNAME\tDIFFERS\tMEAN DIFFERENCE\tWHY")
	for i := range page.Models {
		m := &page.Models[i]
		differs, mean := comparedText(m.Compared)
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", m.ID, m.State, readable(m.Name, 30), differs, mean, readable(m.Why, 160))
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("print models: %w", err)
	}
	return nil
}

// comparedText says how a shadow differs from what is live.
func comparedText(c *console.ModelComparison) (differs, mean string) {
	if c == nil {
		return "-", "-"
	}
	return fmt.Sprintf("%.1f %% of %d", 100*float64(c.DifferShare), c.Windows), fmt.Sprintf("%.3f", float64(c.MeanDifference))
}

// modelMoveCmd asks for a model's state.
type modelMoveCmd struct {
	ID            string `arg:"" help:"The model's id, as list prints it."`
	registryFlags `embed:""`
	JSON          bool `name:"json" help:"Print one JSON document."`
}

func (c *modelMoveCmd) ask(ctx context.Context, t *terminal, action string, want store.ModelState) error {
	if !models.IsID(c.ID) {
		return usageError{fmt.Errorf("%q is no model's id, which has 16 hex digits: cidp model list shows them, cidp model add takes a file", c.ID)}
	}
	r, err := c.move(ctx, action, c.ID)
	if err != nil {
		return err
	}
	if err := told(t.out, r, c.JSON); err != nil {
		return err
	}
	if r.State != string(want) {
		return exitStatus(exitFailed)
	}
	return nil
}

type modelActivateCmd struct {
	modelMoveCmd `embed:""`
}

func (modelActivateCmd) Help() string {
	return `Example:
  cidp model activate 3f2a9c0d11e84b57 --data database --by "A. Mbarga" --note "trial of June"
A model goes live only by a trial that it passed: that of its manifest, or the one that lies beside its file (cidp evaluate --record). Otherwise it runs in shadow, the answer says why,
and the exit code is 1. The model that was live is retired. Windows are swapped over between two commits: each is scored once, by the model that its prediction names.`
}

func (c *modelActivateCmd) Run(ctx context.Context, t *terminal) error {
	return c.ask(ctx, t, store.ActionActivate, store.ModelActive)
}

type modelShadowCmd struct {
	modelMoveCmd `embed:""`
}

func (modelShadowCmd) Help() string {
	return `Example:
  cidp model shadow 3f2a9c0d11e84b57 --data database
It scores every window beside what is live, and is told to nobody. A live model that is put into shadow leaves the rules of physics to speak alone.`
}

func (c *modelShadowCmd) Run(ctx context.Context, t *terminal) error {
	return c.ask(ctx, t, store.ActionShadow, store.ModelShadow)
}

type modelRetireCmd struct {
	modelMoveCmd `embed:""`
}

func (modelRetireCmd) Help() string {
	return `Example:
  cidp model retire 3f2a9c0d11e84b57 --data database
It scores nothing any more; its file and its predictions stay. A live model that is retired leaves the rules of physics to speak alone.`
}

func (c *modelRetireCmd) Run(ctx context.Context, t *terminal) error {
	return c.ask(ctx, t, store.ActionRetire, store.ModelRetired)
}

// printModel shows a model of the registry: what it is, what it does and why, and what was asked of it.
func printModel(out io.Writer, m *console.Model) error {
	fmt.Fprintf(out, "model %s (%s): %s\n%s\n", m.ID, readable(m.Name, 0), m.State, readable(m.Why, 0))
	if m.Compared != nil {
		differs, mean := comparedText(m.Compared)
		fmt.Fprintf(out, "beside what is live: another level in %s windows, mean difference %s\n", differs, mean)
	}
	for _, a := range m.Audit {
		fmt.Fprintf(out, "%s %s asked to %s it: %s: %s%s\n", utcText(int64(a.At)), readable(a.Actor, 0), a.Action, a.Outcome, readable(a.Detail, 0), noteText(readable(a.Note, 0)))
	}
	manifest, err := json.MarshalIndent(m.Manifest, "", "  ")
	if err != nil {
		return fmt.Errorf("describe model: %w", err)
	}
	fmt.Fprintf(out, "%s\n", manifest)
	return nil
}
