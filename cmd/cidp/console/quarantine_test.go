package console_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/camrail/cidp/cmd/cidp/console"
)

// office is a Releaser that notes what it is asked for.
type office struct {
	asked []console.ReleaseRequest
	err   error
}

func (o *office) Evidence(_ context.Context, id string) (console.Evidence, error) {
	if id != "m1" {
		return console.Evidence{}, fmt.Errorf("%w: no evidence", console.ErrNotFound)
	}
	return console.Evidence{ID: id, State: "open", Message: &console.QuarantinedMessage{ID: id, Payload: console.Payload{0xff}}}, o.err
}

func (o *office) Release(_ context.Context, r console.ReleaseRequest) ([]console.ReleaseResult, error) {
	o.asked = append(o.asked, r)
	return []console.ReleaseResult{{ID: "m1", Outcome: "released"}}, o.err
}

// serveOffice serves a console that can release; with a user ngo when known.
func serveOffice(t *testing.T, known bool) (url string, o *office) {
	t.Helper()
	o = &office{}
	cfg := configOf(newPlant())
	cfg.Releaser = o
	if known {
		cfg.Users = func(user, pass string) bool { return user == "ngo" && pass == "right" }
	}
	url, _ = start(t, console.New(cfg))
	return url, o
}

func post(t *testing.T, url, body string, header map[string]string) (status int, text string) {
	t.Helper()
	h := http.Header{"Content-Type": {"application/json"}}
	for k, v := range header {
		h.Set(k, v)
	}
	req, err := http.NewRequest(http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = h
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

const good = `{"ids":["m1","w2","m1"],"by":" A. Mbarga ","note":"clock"}`

func TestReleaseAsks(t *testing.T) {
	url, o := serveOffice(t, false)
	status, text := post(t, url+"/api/v1/quarantine/release", good, map[string]string{"Sec-Fetch-Site": "same-origin", "Origin": url})
	if status != 200 || !strings.Contains(text, `{"results":[{"id":"m1","outcome":"released","already":false,`) || !json.Valid([]byte(text)) {
		t.Fatalf("%d %s", status, text)
	}
	if r := o.asked[0]; fmt.Sprint(r.IDs) != "[m1 w2]" || r.Actor != "A. Mbarga" || r.Note != "clock" {
		t.Errorf("asked %+v", r)
	}
	if status, _, body := ask(t, "GET", url+"/api/v1/quarantine/m1", nil); status != 200 || !strings.Contains(body, `"payload":"0xff"`) || !strings.Contains(body, `"audit":[]`) {
		t.Errorf("show: %d %s", status, body)
	}
	if status, _, body := ask(t, "GET", url+"/api/v1/quarantine/m2", nil); status != 404 || !strings.Contains(body, `"error":"no evidence"`) {
		t.Errorf("show: %d %s", status, body)
	}
}

// TestReleaseIsProtected: who may ask, from where, and with what.
func TestReleaseIsProtected(t *testing.T) {
	url, o := serveOffice(t, false)
	for _, c := range []struct {
		name, body string
		header     map[string]string
		status     int
	}{
		{"a form of another site", good, map[string]string{"Content-Type": "text/plain"}, 415},
		{"no type", good, map[string]string{"Content-Type": ""}, 415},
		{"another site", good, map[string]string{"Sec-Fetch-Site": "cross-site"}, 403},
		{"a sibling site", good, map[string]string{"Sec-Fetch-Site": "same-site"}, 403},
		{"another origin", good, map[string]string{"Origin": "http://evil.example"}, 403},
		{"an origin that is none", good, map[string]string{"Origin": "null"}, 403},
		{"too much", `{"ids":["` + strings.Repeat("m", 65<<10) + `"],"by":"x"}`, nil, 413},
		{"no JSON", `ids=m1`, nil, 400},
		{"two documents", good + good, nil, 400},
		{"an unknown field", `{"ids":["m1"],"by":"x","force":true}`, nil, 400},
		{"no ids", `{"ids":[],"by":"x"}`, nil, 400},
		{"nobody", `{"ids":["m1"],"by":"  "}`, nil, 400},
		{"an escape", `{"ids":["m1"],"by":"x\u001b[2J"}`, nil, 400},
		{"a long note", `{"ids":["m1"],"by":"x","note":"` + strings.Repeat("n", 1001) + `"}`, nil, 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, text := post(t, url+"/api/v1/quarantine/release", c.body, c.header)
			if status != c.status || !strings.Contains(text, `{"error":"`) {
				t.Errorf("%d %s, want %d", status, text, c.status)
			}
		})
	}
	for _, path := range []string{"/api/v1/quarantine", "/api/v1/quarantine/m1", "/api/v1/summary", "/"} {
		if status, _ := post(t, url+path, good, nil); status != 405 {
			t.Errorf("POST %s: %d", path, status)
		}
	}
	if status, _, _ := ask(t, "DELETE", url+"/api/v1/quarantine/release", nil); status != 405 {
		t.Errorf("DELETE: %d", status)
	}
	if len(o.asked) > 0 {
		t.Errorf("asked %+v", o.asked)
	}
}

// TestReleaseNamesTheUser: who signed in is who asked.
func TestReleaseNamesTheUser(t *testing.T) {
	url, o := serveOffice(t, true)
	if status, _ := post(t, url+"/api/v1/quarantine/release", good, nil); status != 401 {
		t.Errorf("without a password: %d", status)
	}
	signed := map[string]string{"Authorization": "Basic bmdvOnJpZ2h0"}
	for body, want := range map[string]string{good: "ngo (A. Mbarga)", `{"ids":["m1"]}`: "ngo", `{"ids":["m1"],"by":"ngo"}`: "ngo"} {
		o.asked = nil
		if status, text := post(t, url+"/api/v1/quarantine/release", body, signed); status != 200 || o.asked[0].Actor != want {
			t.Errorf("%s: %d %s %+v", body, status, text, o.asked)
		}
	}
}

func TestReleaseFailures(t *testing.T) {
	url, o := serveOffice(t, false)
	for err, c := range map[error]struct {
		status int
		says   string
	}{
		fmt.Errorf("%w: no such message", console.ErrNotFound): {404, "no such message; nothing was released"},
		fmt.Errorf("%w", console.ErrNotReady):                  {503, "/readyz says why; nothing was released"},
		errors.New("disk is locked"):                           {503, "may still come to be"},
	} {
		o.err = err
		if status, text := post(t, url+"/api/v1/quarantine/release", good, nil); status != c.status || !strings.Contains(text, c.says) || strings.Contains(text, "locked") {
			t.Errorf("%v: %d %s", err, status, text)
		}
	}
}

func TestQuarantineFilterOfAddress(t *testing.T) {
	url, _ := serveOffice(t, false)
	for query, want := range map[string]int{
		"?state=open&reason=gap&place=douala/loco-1&since=2026-11-24T10:00:00Z&of=windows&limit=2": 200,
		"?state=gone": 400, "?of=both": 400, "?since=yesterday": 400,
	} {
		if status, _, body := ask(t, "GET", url+"/api/v1/quarantine"+query, nil); status != want || !json.Valid([]byte(body)) {
			t.Errorf("%s: %d %s", query, status, body)
		}
	}
}

func FuzzParseRelease(f *testing.F) {
	for _, seed := range []string{good, `{}`, `{"ids":null}`, `[]`, `{"ids":["m1"],"by":"\ud800"}`} {
		f.Add([]byte(seed), "")
		f.Add([]byte(seed), "ngo")
	}
	f.Fuzz(func(t *testing.T, text []byte, user string) {
		r, err := console.ParseRelease(text, user)
		if err != nil {
			return
		}
		if len(r.IDs) == 0 || len(r.IDs) > 1000 || r.Actor == "" || user != "" && !strings.HasPrefix(r.Actor, user) {
			t.Errorf("%q of %q gives %+v", text, user, r)
		}
	})
}
