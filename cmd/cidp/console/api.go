package console

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/rs/zerolog"
)

// Limits of ?limit=.
const (
	defaultLimit = 100
	maxLimit     = 1000
)

// api answers the JSON routes.
type api struct {
	source   Source
	board    *board
	patience time.Duration
	log      zerolog.Logger
}

func (a *api) summary(w http.ResponseWriter, r *http.Request) {
	v, err := a.board.take(r.Context(), a.board.refresh)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, v.summary)
}

func (a *api) assets(w http.ResponseWriter, r *http.Request) {
	v, err := a.board.take(r.Context(), a.board.refresh)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, struct {
		At     Time              `json:"at"`
		Assets []json.RawMessage `json:"assets"`
	}{v.summary.At, v.texts()})
}

func (a *api) alerts(w http.ResponseWriter, r *http.Request) {
	limit, ok := limitOf(w, r)
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), a.patience)
	defer cancel()
	alerts, err := a.source.Alerts(ctx, limit)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, struct {
		Alerts []Alert `json:"alerts"`
	}{wholeAlerts(alerts)})
}

func (a *api) sensor(w http.ResponseWriter, r *http.Request) {
	limit, ok := limitOf(w, r)
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), a.patience)
	defer cancel()
	d, err := a.source.Sensor(ctx, r.PathValue("site"), r.PathValue("asset"), r.PathValue("sensor"), limit)
	if errors.Is(err, ErrNotFound) {
		writeError(w, http.StatusNotFound, "no such sensor")
		return
	}
	if err != nil {
		a.fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, wholeDetail(d))
}

// fail answers 503 and logs the cause: what went wrong inside is for the operator's log, not for the network. A client
// that has gone needs neither.
func (a *api) fail(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil {
		return
	}
	a.log.Warn().Err(err).Str("path", r.URL.Path).Msg("console answered 503")
	writeError(w, http.StatusServiceUnavailable, "the platform's state cannot be read now; its log says why")
}

// limitOf reads ?limit=, 1 to maxLimit. When it is wrong, the request has been answered and ok is false.
func limitOf(w http.ResponseWriter, r *http.Request) (limit int, ok bool) {
	text := r.URL.Query().Get("limit")
	if text == "" {
		return defaultLimit, true
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > maxLimit {
		writeError(w, http.StatusBadRequest, "limit must be a whole number from 1 to "+strconv.Itoa(maxLimit))
		return 0, false
	}
	return n, true
}

// writeJSON encodes first, so that an answer is whole or an error. Failing to send it concerns the client alone.
func writeJSON(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		status, b = http.StatusInternalServerError, []byte(`{"error":"the answer could not be encoded"}`)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.Itoa(len(b)+1))
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n'))
}

func writeError(w http.ResponseWriter, status int, sentence string) {
	writeJSON(w, status, struct {
		Error string `json:"error"`
	}{sentence})
}
