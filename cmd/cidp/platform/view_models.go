package platform

import (
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"time"

	"github.com/camrail/cidp/cmd/cidp/console"
	"github.com/camrail/cidp/cmd/cidp/models"
	"github.com/camrail/cidp/model"
	"github.com/camrail/cidp/store"
)

// Models gives the registry.
func (v *view) Models(ctx context.Context) (console.ModelPage, error) {
	pages, err := v.pages()
	if err != nil {
		return console.ModelPage{}, err
	}
	rows, err := pages.Models(ctx, model.DefaultAlertConfig())
	if err != nil {
		return console.ModelPage{}, err
	}
	use := v.p.use.Load()
	if use == nil {
		return console.ModelPage{}, errStarting
	}
	return modelPage(v.p.cfg.Data, rows, use), nil
}

// Model gives one model.
func (v *view) Model(ctx context.Context, id string) (console.Model, error) {
	page, err := v.Models(ctx)
	if err != nil {
		return console.Model{}, err
	}
	return OneModel(page, id)
}

// OneModel finds a model in a page of the registry, or gives console.ErrNotFound.
func OneModel(page console.ModelPage, id string) (console.Model, error) {
	for i := range page.Models {
		if page.Models[i].ID == id {
			return page.Models[i], nil
		}
	}
	return console.Model{}, errors.Join(console.ErrNotFound, store.ErrNoModel)
}

// ReadModels gives the registry of a data folder, live or stopped. Errors are those of store.ReadModels.
func ReadModels(ctx context.Context, data string) (console.ModelPage, error) {
	rows, err := store.ReadModels(ctx, filepath.Join(data, DatabaseName), model.DefaultAlertConfig())
	if err != nil {
		return console.ModelPage{}, err
	}
	var infos []store.ModelInfo
	for i := range rows {
		infos = append(infos, rows[i].ModelInfo)
	}
	use := loadAll(models.NewRegistry(infos), func(id string) (*model.Forest, error) { return models.Load(data, id) })
	return modelPage(data, rows, use), nil
}

// modelPage says of every model what it is, what it does, and why.
func modelPage(data string, rows []store.RegisteredModel, use *inUse) console.ModelPage {
	page := console.ModelPage{Live: use.liveID(), Why: "no forest is live: the rules of physics speak alone"}
	if use.lost != "" {
		page.Why = use.trouble()
	}
	for i := range rows {
		m := modelOf(data, &rows[i], use)
		if m.InForce && m.ID == page.Live {
			page.Why = m.Why
		}
		page.Models = append(page.Models, m)
	}
	return page
}

func modelOf(data string, r *store.RegisteredModel, use *inUse) console.Model {
	m := console.Model{ID: r.ID, Name: r.Name, State: string(r.State), Problem: use.problems[r.ID], Trial: raw(r.Trial), Features: raw(r.Features), Manifest: raw(r.Metrics)}
	v := models.Verdict{Why: "it has had no trial against the rules of physics"}
	if f := use.of(r.ID); f != nil {
		m.InForce = true
		judged, err := models.Judge(data, f)
		if err != nil {
			judged.Why = err.Error()
		} else if text, err := json.Marshal(judged.Trial); err == nil && judged.Trial != nil {
			m.Trial = text
		}
		v = judged
	}
	if r.State == store.ModelActive && r.Trial != "" { // by what counted when it went live
		var t model.Trial
		if json.Unmarshal([]byte(r.Trial), &t) == nil {
			v.Why, m.Trial = t.Why, raw(r.Trial)
		}
	}
	if m.Why = m.Problem; m.Why == "" {
		m.Why = models.Sentence(r.State, v)
	}
	if c := r.Compare; r.State == store.ModelShadow && c.Windows > 0 {
		m.Compared = &console.ModelComparison{Windows: c.Windows, Differ: c.Differ, DifferShare: console.Figure(float64(c.Differ) / float64(c.Windows)), MeanDifference: console.Figure(c.MeanDiff)}
	}
	for _, a := range r.Audit {
		m.Audit = append(m.Audit, console.AuditEntry{At: console.Time(a.AtMs), Actor: a.Actor, Action: a.Action, Outcome: string(a.Outcome), Detail: a.Detail, Note: a.Note})
	}
	return m
}

// raw gives JSON text as it is; what is none is left out.
func raw(text string) json.RawMessage {
	if !json.Valid([]byte(text)) {
		return nil
	}
	return json.RawMessage(text)
}

// Move asks something of a model and waits until that is on disk.
func (v *view) Move(ctx context.Context, r console.ModelRequest) (console.ModelResult, error) {
	if v.p.use.Load() == nil {
		return console.ModelResult{}, console.ErrNotReady
	}
	if ready, _ := v.p.status.Ready(); !ready {
		return console.ModelResult{}, console.ErrNotReady
	}
	return asked(v.p.move(ctx, askOf(r)))
}

func askOf(r console.ModelRequest) models.Ask {
	return models.Ask{Action: r.Action, ID: r.ID, Actor: r.Actor, Note: r.Note, At: time.Now().UnixMilli()}
}

// asked tells an answer as the console does.
func asked(a models.Answer, err error) (console.ModelResult, error) {
	return console.ModelResult{ID: a.ID, State: string(a.State), Changed: a.Changed, Why: a.Why}, err
}

// MoveModel does the same with a data folder that no process uses, under its lock; store.ErrLocked says that one does.
func MoveModel(data string, r console.ModelRequest) (out console.ModelResult, err error) {
	path := filepath.Join(data, DatabaseName)
	held, err := store.Reserve(path)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, held.Release()) }()
	db, err := store.Open(path, store.Options{Reserved: held})
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	rows, err := db.Models()
	if err != nil {
		return out, err
	}
	ask := askOf(r)
	if err := ask.Load(data); err != nil {
		return out, refused(err)
	}
	moves, answer, err := models.NewRegistry(rows).Plan(&ask)
	if err != nil {
		return out, refused(err)
	}
	if len(moves) > 0 {
		err = db.MoveModels(moves)
	}
	return asked(answer, err)
}
