package console_test

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/camrail/cidp/cmd/cidp/console"
)

// ask sends one request over a real connection.
func ask(t *testing.T, method, url string, change func(*http.Request)) (status int, header http.Header, body string) {
	t.Helper()
	r, err := http.NewRequest(method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(r)
	}
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, res.Header, string(b)
}

func TestRoutes(t *testing.T) {
	p := newPlant()
	cfg := configOf(p)
	reg := prometheus.NewRegistry()
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: "cidp_test_total", Help: "A count."})
	reg.MustRegister(c)
	c.Add(3)
	cfg.Gatherer, cfg.Drifter = reg, steady{}
	url, _ := start(t, console.New(cfg))
	for _, tc := range []struct {
		path, contentType, has string
		status                 int
	}{
		{"/", "text/html", "Decision support, not a certified safety function.", 200},
		{"/console.js", "text/javascript", "EventSource", 200},
		{"/console.css", "text/css", "prefers-color-scheme", 200},
		{"/drift.js", "text/javascript", "watchDrift", 200},
		{"/drift.css", "text/css", ".drift", 200},
		{"/api/v1/drift", "application/json", `"state":"steady"`, 200},
		{"/api/v1/drift", "application/json", `"features":[],"brier":{"state":"","why":"","risen_since":null,"hours":[]}`, 200},
		{"/icon.svg", "image/svg+xml", "<svg", 200},
		{"/healthz", "text/plain", "ok", 200},
		{"/readyz", "application/json", `{"ready":true,"reasons":[]}`, 200},
		{"/metrics", "text/plain", "cidp_test_total 3", 200},
		{"/api/v1/summary", "application/json", `"ledger":{"received":10,"stored":7,"duplicate":1,"late":1,"refused":1,"holds":true,"refused_by_reason":{}}`, 200},
		{"/api/v1/summary", "application/json", `"version":"v1","model":"m1","since":"2023-11-14T22:13:20.000Z"`, 200},
		{"/api/v1/assets", "application/json", `"sensor":"axle1-left"`, 200},
		{"/api/v1/alerts", "application/json", `"explanation":[]`, 200},
		{"/api/v1/alerts?limit=1", "application/json", `{"alerts":[{"alert_id":""`, 200},
		{"/api/v1/quarantine", "application/json", `"payload":"0xff00"`, 200},
		{"/api/v1/quarantine", "application/json", `"windows_by_reason":{}`, 200},
		{"/api/v1/sensors/douala/train1/axle1-left", "application/json", `"window_id":"1782579200000000000"`, 200},
		{"/api/v1/sensors/douala/train1/axle1-left?limit=2", "application/json", `"ambient_c":null`, 200},
		{"/api/v1/sensors/douala/train1/nobody", "application/json", `"error":"no such sensor"`, 404},
		{"/api/v1/alerts?limit=0", "application/json", `"error":`, 400},
		{"/api/v1/alerts?limit=1001", "application/json", `"error":`, 400},
		{"/api/v1/quarantine?limit=x", "application/json", `"error":`, 400},
		{"/api/v1/sensors/a/b/c?limit=-1", "application/json", `"error":`, 400},
		{"/api/v1/nothing", "application/json", `"error":"no such path`, 404},
		{"/api/v2/summary", "application/json", `"error":"no such path`, 404},
		{"/nothing", "text/plain", "not found", 404},
	} {
		t.Run(tc.path, func(t *testing.T) {
			status, header, body := ask(t, "GET", url+tc.path, nil)
			if status != tc.status || !strings.HasPrefix(header.Get("Content-Type"), tc.contentType) || !strings.Contains(body, tc.has) {
				t.Fatalf("got %d %s %.2000s; want %d %s with %s", status, header.Get("Content-Type"), body, tc.status, tc.contentType, tc.has)
			}
			if tc.contentType == "application/json" && !json.Valid([]byte(body)) {
				t.Fatal("the body is not JSON")
			}
			if head, _, empty := ask(t, "HEAD", url+tc.path, nil); head != tc.status || empty != "" {
				t.Fatalf("HEAD gave %d and %d bytes", head, len(empty))
			}
		})
	}
}

func TestMetricsAreAbsentWithoutAGatherer(t *testing.T) {
	url, _ := start(t, console.New(configOf(newPlant())))
	if status, _, _ := ask(t, "GET", url+"/metrics", nil); status != http.StatusNotFound {
		t.Fatalf("got %d", status)
	}
}

func TestHealth(t *testing.T) {
	p := newPlant()
	p.ready, p.reasons, p.dead = false, []string{"disk is full"}, true
	url, _ := start(t, console.New(configOf(p)))
	if status, _, body := ask(t, "GET", url+"/readyz", nil); status != 503 || body != `{"ready":false,"reasons":["disk is full"]}`+"\n" {
		t.Errorf("readyz: %d %s", status, body)
	}
	if status, _, _ := ask(t, "GET", url+"/healthz", nil); status != 503 {
		t.Errorf("healthz: %d", status)
	}
}

func TestSourceFailureIs503WithoutItsText(t *testing.T) {
	p := newPlant()
	p.err = errBroken
	url, _ := start(t, console.New(configOf(p)))
	for _, path := range []string{"summary", "assets", "alerts", "quarantine", "sensors/a/b/axle1-left"} {
		status, _, body := ask(t, "GET", url+"/api/v1/"+path, nil)
		if status != 503 || strings.Contains(body, "locked") || !json.Valid([]byte(body)) {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
}

func TestOnlyReading(t *testing.T) {
	p := newPlant()
	url, _ := start(t, console.New(configOf(p)))
	for _, path := range []string{"/", "/healthz", "/readyz", "/api/v1/summary", "/api/v1/stream", "/nothing"} {
		for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"} {
			status, header, _ := ask(t, method, url+path, nil)
			if status != http.StatusMethodNotAllowed || header.Get("Allow") != "GET, HEAD" {
				t.Errorf("%s %s: %d, Allow %q", method, path, status, header.Get("Allow"))
			}
		}
	}
	if p.count() != 0 {
		t.Errorf("the source was asked %d times", p.count())
	}
}

func TestHeaders(t *testing.T) {
	url, _ := start(t, console.New(configOf(newPlant())))
	for _, path := range []string{"/", "/console.js", "/healthz", "/api/v1/summary", "/api/v1/nothing", "/nothing"} {
		_, h, _ := ask(t, "GET", url+path, nil)
		if csp := h.Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'self';") || strings.Contains(csp, "unsafe") {
			t.Errorf("%s: Content-Security-Policy %q", path, csp)
		}
		if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Referrer-Policy") != "no-referrer" || h.Get("X-Frame-Options") != "DENY" {
			t.Errorf("%s: %v", path, h)
		}
		if h.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s may be read by other sites", path)
		}
	}
}

func TestUsers(t *testing.T) {
	p := newPlant()
	cfg := configOf(p)
	cfg.Gatherer = prometheus.NewRegistry()
	cfg.Users = func(user, pass string) bool { return user == "amina" && pass == "s3:cret" }
	url, _ := start(t, console.New(cfg))
	for _, path := range []string{"/", "/console.js", "/readyz", "/metrics", "/api/v1/summary", "/api/v1/stream", "/api/v1/nothing", "/nothing"} {
		status, header, _ := ask(t, "GET", url+path, nil)
		if status != 401 || !strings.HasPrefix(header.Get("WWW-Authenticate"), "Basic realm=") {
			t.Errorf("%s without a password: %d", path, status)
		}
		if status, _, _ = ask(t, "GET", url+path, func(r *http.Request) { r.SetBasicAuth("amina", "wrong") }); status != 401 {
			t.Errorf("%s with a wrong password: %d", path, status)
		}
	}
	if p.count() != 0 {
		t.Errorf("the source was asked %d times", p.count())
	}
	if status, _, _ := ask(t, "GET", url+"/api/v1/summary", func(r *http.Request) { r.SetBasicAuth("amina", "s3:cret") }); status != 200 {
		t.Errorf("with the password: %d", status)
	}
	if status, _, _ := ask(t, "GET", url+"/healthz", nil); status != 200 {
		t.Errorf("healthz: %d", status)
	}
}

func TestForeignHostIsRefusedOnLoopback(t *testing.T) {
	cfg := configOf(newPlant())
	cfg.Hosts = []string{"console.depot.example"}
	url, _ := start(t, console.New(cfg))
	for host, want := range map[string]int{
		"localhost": 200, "localhost:8080": 200, "LOCALHOST.": 200, "127.0.0.1": 200, "127.0.0.1:1": 200, "127.9.9.9": 200, "[::1]": 200, "[::1]:8080": 200,
		"console.depot.example": 200, "Console.Depot.Example:443": 200,
		"evil.example": 421, "localhost.evil.example": 421, "127.0.0.1.evil.example": 421, "10.0.0.1:8080": 421, "0.0.0.0": 421, "[::]": 421, "localhost:x:y": 421,
	} {
		if status, _, _ := ask(t, "GET", url+"/api/v1/summary", func(r *http.Request) { r.Host = host }); status != want {
			t.Errorf("Host %s: %d, want %d", host, status, want)
		}
	}
}

func TestAnyHostOffLoopback(t *testing.T) {
	for local, want := range map[string]int{"192.168.1.4:8080": 200, "[fe80::1%eth0]:8080": 200, "127.0.0.1:8080": 421, "[::1]:8080": 421, "[::ffff:127.0.0.1]:8080": 421} {
		r := httptest.NewRequest("GET", "http://depot.example/api/v1/summary", nil)
		r = r.WithContext(contextWithLocal(r.Context(), addr(local)))
		w := httptest.NewRecorder()
		console.New(configOf(newPlant())).ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("%s: %d, want %d", local, w.Code, want)
		}
	}
}

type addr string

func (addr) Network() string  { return "tcp" }
func (a addr) String() string { return string(a) }

var _ net.Addr = addr("")

func TestAnotherSiteMayNotAskTheAPI(t *testing.T) {
	url, _ := start(t, console.New(configOf(newPlant())))
	for site, want := range map[string]int{"cross-site": 403, "same-origin": 200, "none": 200, "": 200} {
		if status, _, _ := ask(t, "GET", url+"/api/v1/summary", func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", site) }); status != want {
			t.Errorf("%q: %d, want %d", site, status, want)
		}
	}
	if status, _, _ := ask(t, "GET", url+"/", func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }); status != 200 {
		t.Errorf("a link from elsewhere to the page: %d", status)
	}
}

func TestFilesAreRevalidated(t *testing.T) {
	url, _ := start(t, console.New(configOf(newPlant())))
	_, h, _ := ask(t, "GET", url+"/console.js", nil)
	if h.Get("ETag") == "" || h.Get("Cache-Control") != "no-cache" {
		t.Fatalf("%v", h)
	}
	status, _, body := ask(t, "GET", url+"/console.js", func(r *http.Request) { r.Header.Set("If-None-Match", h.Get("ETag")) })
	if status != http.StatusNotModified || body != "" {
		t.Fatalf("%d, %d bytes", status, len(body))
	}
}

func FuzzHost(f *testing.F) {
	for _, s := range []string{"localhost", "127.0.0.1:80", "[::1]:80", "[::1", "evil.example", "localhost:80:80", "", "[]", "[127.0.0.1]"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, host string) {
		r := httptest.NewRequest("GET", "/", nil)
		r.Host = host
		if !console.HostAllowed(r, []string{"depot.example"}) {
			return
		}
		// Whatever was let through is one of the few names that no foreign page can have.
		name := console.HostName(host)
		ip := net.ParseIP(strings.SplitN(name, "%", 2)[0])
		if name != "localhost" && name != "depot.example" && !ip.IsLoopback() {
			t.Fatalf("%q was let through as %q", host, name)
		}
	})
}
