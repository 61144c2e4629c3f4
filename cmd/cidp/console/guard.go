package console

import (
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// answerTime is how long a client may take to read an answer. A stream sets its own.
const answerTime = 20 * time.Second

// contentPolicy lets the page load only what the binary serves, and nothing inline.
const contentPolicy = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'"

// guard stands before every route: the headers, the methods, and who may ask under which name.
func guard(hosts []string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", contentPolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		switch {
		case !hostAllowed(r, hosts):
			writeError(w, http.StatusMisdirectedRequest,
				"this address is only served as localhost; name the host in the configuration to reach it through a proxy")
			return
		case r.Method == http.MethodPost && changes(r.URL.Path):
			if status, why := ownRequest(r); status != 0 {
				writeError(w, status, why)
				return
			}
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			h.Set("Allow", "GET, HEAD")
			writeError(w, http.StatusMethodNotAllowed, "only GET and HEAD: nothing can be changed here")
			return
		case strings.HasPrefix(r.URL.Path, "/api/") && r.Header.Get("Sec-Fetch-Site") == "cross-site":
			writeError(w, http.StatusForbidden, "another web site asked for this")
			return
		}
		// The deadline is the kernel's, so it is the machine's clock. A recorder in a test has none to set.
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(answerTime))
		next.ServeHTTP(w, r)
	})
}

// ownRequest says why a request that changes something is refused: a page of another site may not make one. A browser sends JSON across sites only after it has asked, which nothing here
// allows; that its own words say the same costs nothing.
func ownRequest(r *http.Request) (status int, why string) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return http.StatusUnsupportedMediaType, "Content-Type must be application/json"
	}
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" && site != "none" {
		return http.StatusForbidden, "another web site asked for this"
	}
	if origin := r.Header.Get("Origin"); origin != "" {
		if u, err := url.Parse(origin); err != nil || !strings.EqualFold(u.Host, r.Host) {
			return http.StatusForbidden, "another web site asked for this"
		}
	}
	return 0, ""
}

// hostAllowed refuses a foreign Host on a loopback connection. A page of another site whose name was made to point at this
// machine (DNS rebinding) can reach the port, but its Host gives it away. On other addresses the password stands in its way:
// the browser does not send it to that name. A request without a known local address counts as loopback.
func hostAllowed(r *http.Request, hosts []string) bool {
	if addr, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
		if ap, err := netip.ParseAddrPort(addr.String()); err == nil && !ap.Addr().Unmap().IsLoopback() {
			return true
		}
	}
	name := hostName(r.Host)
	if name == "localhost" {
		return true
	}
	if ip, err := netip.ParseAddr(name); err == nil && ip.Unmap().IsLoopback() {
		return true
	}
	for _, h := range hosts {
		if h != "" && strings.EqualFold(h, name) {
			return true
		}
	}
	return false
}

// hostName takes the port, the brackets and the root's dot off a Host header, in lower case.
func hostName(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	} else if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
		host = host[1 : len(host)-1]
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// requireUser asks for a name and a password; with users nil it asks for nothing.
func requireUser(users func(user, pass string) bool, next http.Handler) http.Handler {
	if users == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, pass, ok := r.BasicAuth()
		if !ok || !users(user, pass) {
			w.Header().Set("WWW-Authenticate", `Basic realm="CIDP console", charset="UTF-8"`)
			writeError(w, http.StatusUnauthorized, "a user name and a password are needed")
			return
		}
		next.ServeHTTP(w, r)
	})
}
