package console_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/camrail/cidp/cmd/cidp/console"
)

// shelf is a Registrar that notes what it is asked for.
type shelf struct {
	asked []console.ModelRequest
	err   error
}

func (s *shelf) Models(context.Context) (console.ModelPage, error) {
	return console.ModelPage{Live: "rules", Why: "no forest is live", Models: []console.Model{{ID: "m1", State: "shadow", Compared: &console.ModelComparison{Windows: 4, Differ: 1, DifferShare: 0.25}}}}, s.err
}

func (s *shelf) Model(_ context.Context, id string) (console.Model, error) {
	if id != "m1" {
		return console.Model{}, errors.Join(console.ErrNotFound, errors.New("no such model"))
	}
	return console.Model{ID: id, State: "shadow", Manifest: json.RawMessage(`{"trees":9}`)}, s.err
}

func (s *shelf) Move(_ context.Context, r console.ModelRequest) (console.ModelResult, error) {
	s.asked = append(s.asked, r)
	return console.ModelResult{ID: r.ID, State: "shadow", Why: "it has had no trial"}, s.err
}

func serveShelf(t *testing.T, known bool) (url string, s *shelf) {
	t.Helper()
	s = &shelf{}
	cfg := configOf(newPlant())
	cfg.Registrar = s
	if known {
		cfg.Users = func(user, pass string) bool { return user == "ngo" && pass == "right" }
	}
	url, _ = start(t, console.New(cfg))
	return url, s
}

func TestModelsAreShownAndMoved(t *testing.T) {
	url, s := serveShelf(t, false)
	for path, want := range map[string]string{
		"/api/v1/models":    `{"live":"rules","why":"no forest is live","models":[{"model_id":"m1",`,
		"/api/v1/models/m1": `"manifest":{"trees":9}`,
		"/api/v1/models/m2": `{"error":"no such model"}`,
	} {
		if _, _, body := ask(t, "GET", url+path, nil); !strings.Contains(body, want) {
			t.Errorf("%s: %s", path, body)
		}
	}
	for _, action := range []string{"activate", "shadow", "retire"} {
		status, text := post(t, url+"/api/v1/models/"+action, `{"id":"m1","by":" A. Mbarga ","note":"trial"}`, map[string]string{"Sec-Fetch-Site": "same-origin", "Origin": url})
		if status != 200 || text != `{"model_id":"m1","state":"shadow","changed":false,"why":"it has had no trial"}`+"\n" {
			t.Errorf("%s: %d %s", action, status, text)
		}
		if r := s.asked[len(s.asked)-1]; r != (console.ModelRequest{Action: action, ID: "m1", Actor: "A. Mbarga", Note: "trial"}) {
			t.Errorf("asked %+v", r)
		}
	}
	for err, want := range map[error]string{
		errors.Join(console.ErrNotFound, errors.New("no such model")):  `404 {"error":"no such model"}`,
		errors.Join(console.ErrRefused, errors.New("the file is cut")): `409 {"error":"the file is cut"}`,
		console.ErrNotReady:       `503 {"error":"the platform takes nothing now`,
		errors.New("a full disk"): `503 {"error":"it is not on disk yet`,
	} {
		s.err = err
		if status, text := post(t, url+"/api/v1/models/activate", `{"id":"m1","by":"x"}`, nil); !strings.HasPrefix(fmt.Sprint(status, " ", text), want) {
			t.Errorf("%v: %d %s", err, status, text)
		}
	}
}

// TestModelsAreProtected: what moves a model is guarded as what releases evidence is.
func TestModelsAreProtected(t *testing.T) {
	url, s := serveShelf(t, false)
	const good = `{"id":"m1","by":"x"}`
	for _, c := range []struct {
		name, path, body string
		header           map[string]string
		status           int
	}{
		{"a form of another site", "activate", good, map[string]string{"Content-Type": "text/plain"}, 415},
		{"another site", "retire", good, map[string]string{"Sec-Fetch-Site": "cross-site"}, 403},
		{"another origin", "shadow", good, map[string]string{"Origin": "http://evil.example"}, 403},
		{"too much", "activate", `{"id":"` + strings.Repeat("m", 65<<10) + `","by":"x"}`, nil, 413},
		{"no JSON", "activate", `id=m1`, nil, 400},
		{"two documents", "activate", good + good, nil, 400},
		{"an unknown field", "activate", `{"id":"m1","by":"x","force":true}`, nil, 400},
		{"no id", "activate", `{"by":"x"}`, nil, 400},
		{"nobody", "activate", `{"id":"m1"}`, nil, 400},
		{"an escape", "activate", `{"id":"m1","by":"x\u001b[2J"}`, nil, 400},
		{"another action", "delete", good, nil, 405},
		{"a model", "m1", good, nil, 405},
	} {
		t.Run(c.name, func(t *testing.T) {
			if status, text := post(t, url+"/api/v1/models/"+c.path, c.body, c.header); status != c.status || !strings.Contains(text, `{"error":"`) {
				t.Errorf("%d %s, want %d", status, text, c.status)
			}
		})
	}
	if status, _, _ := ask(t, "DELETE", url+"/api/v1/models/activate", nil); status != 405 {
		t.Errorf("DELETE: %d", status)
	}
	if len(s.asked) > 0 {
		t.Errorf("asked %+v", s.asked)
	}
	url, s = serveShelf(t, true)
	if status, _ := post(t, url+"/api/v1/models/activate", good, nil); status != 401 || len(s.asked) > 0 {
		t.Errorf("without a password: %d", status)
	}
	if status, _ := post(t, url+"/api/v1/models/activate", good, map[string]string{"Authorization": "Basic bmdvOnJpZ2h0"}); status != 200 || s.asked[0].Actor != "ngo (x)" {
		t.Errorf("with one: %d, %+v", status, s.asked)
	}
}
