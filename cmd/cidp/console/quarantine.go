package console

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// releasePath is where evidence is put back.
const releasePath = "/api/v1/quarantine/release"

// Limits of a request to release.
const (
	maxReleaseBytes = 64 << 10
	maxReleaseIDs   = 1000
	maxActor        = 100  // characters of a name
	maxNote         = 1000 // and of a note
	releaseWait     = 15 * time.Second
)

func (a *api) quarantine(w http.ResponseWriter, r *http.Request) {
	limit, ok := limitOf(w, r)
	if !ok {
		return
	}
	f, err := quarantineFilter(r)
	if err != nil {
		writeError(w, http.StatusBadRequest, err.Error())
		return
	}
	f.Limit = limit
	ctx, cancel := context.WithTimeout(r.Context(), a.patience)
	defer cancel()
	page, err := a.source.Quarantine(ctx, f)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, wholePage(page))
}

// quarantineFilter reads ?state= ?reason= ?place= ?since= ?of=.
func quarantineFilter(r *http.Request) (f QuarantineFilter, err error) {
	q := r.URL.Query()
	f = QuarantineFilter{State: q.Get("state"), Reason: q.Get("reason"), Place: q.Get("place")}
	if !slices.Contains([]string{"", "open", "released", "superseded"}, f.State) {
		return f, errors.New("state must be open, released or superseded")
	}
	switch q.Get("of") {
	case "":
	case "windows":
		f.Windows = true
	case "messages":
		f.Messages = true
	default:
		return f, errors.New("of must be windows or messages")
	}
	if since := q.Get("since"); since != "" {
		at, err := time.Parse(time.RFC3339, since)
		if err != nil {
			return f, errors.New("since must be a time by RFC 3339")
		}
		f.Since = TimeOf(at)
	}
	return f, nil
}

// evidence answers for single pieces of evidence.
type evidence struct {
	*api
	releaser Releaser
	known    bool // users are
}

func (e *evidence) show(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), e.patience)
	defer cancel()
	v, err := e.releaser.Evidence(ctx, r.PathValue("id"))
	if errors.Is(err, ErrNotFound) {
		writeError(w, http.StatusNotFound, sentence(err))
		return
	}
	if err != nil {
		e.fail(w, r, err)
		return
	}
	for i := range v.Revisions {
		v.Revisions[i].Reasons = orEmpty(v.Revisions[i].Reasons)
	}
	v.Audit = orEmpty(v.Audit)
	writeJSON(w, http.StatusOK, v)
}

func (e *evidence) release(w http.ResponseWriter, r *http.Request) {
	ask, ok := asked(w, r, e.known, parseRelease)
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), releaseWait)
	defer cancel()
	results, err := e.releaser.Release(ctx, ask)
	switch {
	case errors.Is(err, ErrNotFound):
		writeError(w, http.StatusNotFound, sentence(err)+"; nothing was released")
		return
	case errors.Is(err, ErrNotReady):
		writeError(w, http.StatusServiceUnavailable, "the platform takes nothing now; /readyz says why; nothing was released")
		return
	case err != nil && r.Context().Err() == nil:
		e.log.Warn().Err(err).Str("actor", ask.Actor).Msg("release was not answered")
		writeError(w, http.StatusServiceUnavailable, "the release is not on disk yet, and may still come to be: ask again; what went back is not put back twice")
		return
	case err != nil:
		return
	}
	for i := range results {
		results[i].Reasons = orEmpty(results[i].Reasons)
		e.log.Info().Str("evidence", results[i].ID).Str("actor", ask.Actor).Str("outcome", results[i].Outcome).Bool("already", results[i].Already).Str("detail", results[i].Detail).Msg("release asked for")
	}
	writeJSON(w, http.StatusOK, struct {
		Results []ReleaseResult `json:"results"`
	}{results})
}

// parseRelease reads {"ids":[…],"by":…,"note":…}.
func parseRelease(text []byte, user string) (ReleaseRequest, error) {
	var in struct {
		IDs  []string `json:"ids"`
		By   string   `json:"by"`
		Note string   `json:"note"`
	}
	if !exactly(text, &in) {
		return ReleaseRequest{}, errors.New(`the body must be one JSON object {"ids":[…],"by":"…","note":"…"} and nothing else`)
	}
	if len(in.IDs) == 0 || len(in.IDs) > maxReleaseIDs {
		return ReleaseRequest{}, fmt.Errorf("ids must name 1 to %d pieces of evidence", maxReleaseIDs)
	}
	actor, note, err := actorOf(in.By, in.Note, user)
	if err != nil {
		return ReleaseRequest{}, err
	}
	out := ReleaseRequest{Actor: actor, Note: note}
	for _, id := range in.IDs { // one that is named twice goes back once
		if !slices.Contains(out.IDs, id) {
			out.IDs = append(out.IDs, id)
		}
	}
	return out, nil
}

// plain says whether a text is short and has nothing in it that a terminal would obey.
func plain(s string, most int) bool {
	return utf8.ValidString(s) && utf8.RuneCountInString(s) <= most && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

// sentence is what an error that begins with ErrNotFound has to say.
func sentence(err error) string {
	return strings.TrimPrefix(strings.ReplaceAll(err.Error(), "\n", ": "), ErrNotFound.Error()+": ")
}
