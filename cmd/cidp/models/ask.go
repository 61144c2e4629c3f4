package models

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/camrail/cidp/model"
	"github.com/camrail/cidp/store"
)

// MaxShadows is how many models may run in shadow: each scores every window.
const MaxShadows = 4

// ErrUnknown says that there is neither a row nor a file of a model.
var ErrUnknown = errors.New("no such model")

// Ask is what somebody asks of a model.
type Ask struct {
	Action string // store.ActionActivate, ActionShadow, ActionRetire or ActionStart
	ID     string
	Actor  string
	Note   string
	At     int64 // wall clock, ms

	Forest  *model.Forest // what lies in the registry under the id; nil where it is to be retired
	Verdict Verdict       // of the forest
}

// Load reads the model that is asked for and judges it, where it is to score.
func (a *Ask) Load(data string) error {
	if !IsID(a.ID) {
		return fmt.Errorf("%w: %q is no id, which has 16 hex digits", ErrUnknown, a.ID)
	}
	if a.Action == store.ActionRetire {
		return nil
	}
	if _, err := os.Stat(Path(data, a.ID)); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %s is not there; cidp model add puts a model there", ErrUnknown, Path(data, a.ID))
	}
	var err error
	if a.Forest, err = Load(data, a.ID); err != nil {
		return err
	}
	a.Verdict, err = Judge(data, a.Forest)
	return err
}

// Answer is what became of it.
type Answer struct {
	ID      string
	State   store.ModelState // from now on
	Changed bool             // another state than before
	Why     string           // one sentence
}

// Registry is the state of every known model. It is a value of one owner.
type Registry struct{ rows map[string]store.ModelInfo }

// NewRegistry takes the rows of the table.
func NewRegistry(rows []store.ModelInfo) *Registry {
	r := &Registry{rows: map[string]store.ModelInfo{}}
	for _, m := range rows {
		r.rows[m.ID] = m
	}
	return r
}

// Of gives a model's row.
func (r *Registry) Of(id string) (m store.ModelInfo, known bool) {
	m, known = r.rows[id]
	return m, known
}

// In gives the ids of the models in a state, in order.
func (r *Registry) In(state store.ModelState) (ids []string) {
	for id, m := range r.rows {
		if m.State == state {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// Apply takes over what was planned.
func (r *Registry) Apply(moves []store.ModelMove) {
	for _, m := range moves {
		row, known := r.rows[m.Model.ID]
		if !known {
			row = m.Model
		}
		if row.State = m.Model.State; m.Model.Trial != "" {
			row.Trial = m.Model.Trial
		}
		r.rows[row.ID] = row
	}
}

// Plan says what comes of a request, and changes nothing. Without moves nothing is to be done. An error is a request that cannot be met.
//
// A model goes live only by a trial that it passed; one that is to go live without runs in shadow, and the answer says why. The one that was live is retired. At most MaxShadows run in
// shadow.
func (r *Registry) Plan(a *Ask) (moves []store.ModelMove, out Answer, err error) {
	now, known := r.rows[a.ID]
	to := map[string]store.ModelState{store.ActionActivate: store.ModelActive, store.ActionShadow: store.ModelShadow, store.ActionRetire: store.ModelRetired, store.ActionStart: store.ModelActive}[a.Action]
	out = Answer{ID: a.ID, State: now.State}
	switch {
	case !known && a.Forest == nil:
		return nil, out, fmt.Errorf("%w: %s", ErrUnknown, a.ID)
	case known && now.State == to:
		out.Why = already(to)
		return nil, out, nil
	case to == store.ModelActive && a.Verdict.Live:
		out.Why = a.Verdict.Why
	case to == store.ModelActive:
		to, out.Why = store.ModelShadow, a.Verdict.Why
	case to == store.ModelShadow:
		out.Why = "it scores every window, and is told to nobody"
	default:
		out.Why = "it scores nothing"
	}
	if shadows := r.In(store.ModelShadow); to == store.ModelShadow && now.State != to && len(shadows) >= MaxShadows {
		return nil, out, fmt.Errorf("%d models run in shadow already, and no more may: retire one of %v first", len(shadows), shadows)
	}
	move, err := a.move(to, out.Why)
	if err != nil {
		return nil, out, err
	}
	if to == store.ModelActive {
		for _, id := range r.In(store.ModelActive) {
			moves = append(moves, a.retire(id))
		}
	}
	out.State, out.Changed = to, !known || now.State != to
	return append(moves, move), out, nil
}

func already(state store.ModelState) string {
	return map[store.ModelState]string{store.ModelActive: "it is live already", store.ModelShadow: "it runs in shadow already", store.ModelRetired: "it is retired already"}[state]
}

// move makes the entry for the model that is asked for.
func (a *Ask) move(to store.ModelState, why string) (store.ModelMove, error) {
	m := store.ModelMove{Model: store.ModelInfo{ID: a.ID, State: to}, At: a.At, Action: a.Action, Actor: a.Actor, Detail: why, Note: a.Note}
	if a.Forest == nil {
		return m, nil
	}
	manifest := a.Forest.Manifest()
	m.Model.Name = manifest.Name
	if m.Model.Name == "" {
		m.Model.Name = a.ID
	}
	for _, part := range []struct {
		into *string
		what any
	}{{&m.Model.Features, a.Forest.Schema()}, {&m.Model.Metrics, manifest}, {&m.Model.Trial, a.Verdict.Trial}} {
		if part.what == (*model.Trial)(nil) {
			continue
		}
		text, err := json.Marshal(part.what)
		if err != nil {
			return m, fmt.Errorf("describe model %s: %w", a.ID, err)
		}
		*part.into = string(text)
	}
	return m, nil
}

// retire makes the entry for a model in whose place the one that is asked for comes.
func (a *Ask) retire(id string) store.ModelMove {
	action := store.ActionRetire
	if a.Action == store.ActionStart {
		action = a.Action
	}
	return store.ModelMove{Model: store.ModelInfo{ID: id, State: store.ModelRetired}, At: a.At, Action: action, Actor: a.Actor, Detail: "model " + a.ID + " came in its place", Note: a.Note}
}

// Others retires all that is in force but the model that is asked for: where nobody ever chose, the program's own model takes the place of the one before.
func (r *Registry) Others(a *Ask) (moves []store.ModelMove) {
	for _, id := range append(r.In(store.ModelActive), r.In(store.ModelShadow)...) {
		if id != a.ID {
			moves = append(moves, a.retire(id))
		}
	}
	return moves
}
