package console

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
)

// modelsPath is under what models are moved.
const modelsPath = "/api/v1/models/"

// modelActions are what may be asked of a model.
var modelActions = []string{"activate", "shadow", "retire"}

// changes says whether a path changes something: then it is asked with POST.
func changes(path string) bool {
	action, ok := strings.CutPrefix(path, modelsPath)
	return path == releasePath || ok && slices.Contains(modelActions, action)
}

// registry answers for models.
type registry struct {
	*api
	registrar Registrar
	known     bool // users are
}

func (g *registry) list(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), g.patience)
	defer cancel()
	page, err := g.registrar.Models(ctx)
	if err != nil {
		g.fail(w, r, err)
		return
	}
	page.List()
	writeJSON(w, http.StatusOK, page)
}

func (g *registry) show(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), g.patience)
	defer cancel()
	m, err := g.registrar.Model(ctx, r.PathValue("id"))
	if errors.Is(err, ErrNotFound) {
		writeError(w, http.StatusNotFound, sentence(err))
		return
	}
	if err != nil {
		g.fail(w, r, err)
		return
	}
	m.Audit = orEmpty(m.Audit)
	writeJSON(w, http.StatusOK, m)
}

func (g *registry) move(w http.ResponseWriter, r *http.Request) {
	ask, ok := asked(w, r, g.known, parseMove)
	if !ok {
		return
	}
	ask.Action = strings.TrimPrefix(r.URL.Path, modelsPath)
	ctx, cancel := context.WithTimeout(r.Context(), releaseWait)
	defer cancel()
	result, err := g.registrar.Move(ctx, ask)
	switch {
	case errors.Is(err, ErrNotFound):
		writeError(w, http.StatusNotFound, sentence(err))
	case errors.Is(err, ErrRefused):
		writeError(w, http.StatusConflict, refusal(err))
	case errors.Is(err, ErrNotReady):
		writeError(w, http.StatusServiceUnavailable, "the platform takes nothing now; /readyz says why; nothing was done")
	case err != nil && r.Context().Err() == nil:
		g.log.Warn().Err(err).Str("actor", ask.Actor).Msg("what was asked of a model was not answered")
		writeError(w, http.StatusServiceUnavailable, "it is not on disk yet, and may still come to be: ask again, or look at /api/v1/models")
	case err == nil:
		writeJSON(w, http.StatusOK, result)
	}
}

// parseMove reads {"id":…,"by":…,"note":…}.
func parseMove(text []byte, user string) (ModelRequest, error) {
	var in struct {
		ID   string `json:"id"`
		By   string `json:"by"`
		Note string `json:"note"`
	}
	if !exactly(text, &in) {
		return ModelRequest{}, errors.New(`the body must be one JSON object {"id":"…","by":"…","note":"…"} and nothing else`)
	}
	if in.ID == "" || !plain(in.ID, maxActor) {
		return ModelRequest{}, errors.New("id must name a model")
	}
	actor, note, err := actorOf(in.By, in.Note, user)
	return ModelRequest{ID: in.ID, Actor: actor, Note: note}, err
}

// refusal is what an error that begins with ErrRefused has to say.
func refusal(err error) string {
	return strings.TrimPrefix(strings.ReplaceAll(err.Error(), "\n", ": "), ErrRefused.Error()+": ")
}
