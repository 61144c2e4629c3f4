package console

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
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
	//go:embed page/icon.svg
	pageIcon []byte
)

// servePage adds the page's four files, and a plain 404 for every path that no other route takes.
func servePage(mux *http.ServeMux) {
	mux.HandleFunc("/{$}", file("text/html; charset=utf-8", pageHTML))
	mux.HandleFunc("/console.css", file("text/css; charset=utf-8", pageCSS))
	mux.HandleFunc("/console.js", file("text/javascript; charset=utf-8", pageJS))
	mux.HandleFunc("/icon.svg", file("image/svg+xml", pageIcon))
	mux.HandleFunc("/", http.NotFound)
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
