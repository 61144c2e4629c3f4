package console

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"time"
)

var (
	//go:embed page/index.html
	pageHTML []byte
	//go:embed page/console.css
	pageCSS []byte
	//go:embed page/console.js
	pageJS []byte
	//go:embed page/drift.css
	driftCSS []byte
	//go:embed page/drift.js
	driftJS []byte
	//go:embed page/icon.svg
	pageIcon []byte
)

// servePage adds the page's files, and a plain 404 for every path that no other route takes.
func servePage(mux *http.ServeMux, b *board) {
	mux.HandleFunc("/{$}", page(b))
	mux.HandleFunc("/console.css", file("text/css; charset=utf-8", pageCSS))
	mux.HandleFunc("/console.js", file("text/javascript; charset=utf-8", pageJS))
	mux.HandleFunc("/drift.css", file("text/css; charset=utf-8", driftCSS))
	mux.HandleFunc("/drift.js", file("text/javascript; charset=utf-8", driftJS))
	mux.HandleFunc("/icon.svg", file("image/svg+xml", pageIcon))
	mux.HandleFunc("/", http.NotFound)
}

// firstPatience is how long the page waits for its first figures before it is served without.
const firstPatience = time.Second

// page serves the page with what stands now inside it, as data and not as script, so that its first picture has figures. The stream goes on from
// there. json.Marshal escapes what could end the element.
func page(b *board) http.HandlerFunc {
	const mark = `id="first">`
	head, tail, _ := bytes.Cut(pageHTML, []byte(mark+"null"))
	return func(w http.ResponseWriter, r *http.Request) {
		first := []byte("null")
		ctx, cancel := context.WithTimeout(r.Context(), firstPatience)
		defer cancel()
		if v, err := b.take(ctx, b.refresh); err == nil {
			if text, err := json.Marshal(v.everything()); err == nil {
				first = text
			}
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		for _, part := range [][]byte{head, []byte(mark), first, tail} {
			if _, err := w.Write(part); err != nil {
				return // the browser is gone
			}
		}
	}
}

// file serves bytes that a browser may keep but must ask for anew: the tag is their hash, so an upgrade shows at once.
func file(contentType string, b []byte) http.HandlerFunc {
	sum := sha256.Sum256(b)
	tag := `"` + hex.EncodeToString(sum[:12]) + `"`
	return func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Type", contentType)
		h.Set("Cache-Control", "no-cache")
		h.Set("ETag", tag)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b))
	}
}
