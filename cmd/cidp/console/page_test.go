package console_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/camrail/cidp/cmd/cidp/console"
	"github.com/camrail/cidp/model"
	"github.com/camrail/cidp/stream"
)

// Names come from outside. The page can only write them as text, because it holds nothing that parses markup or code.
func TestScriptParsesNoMarkup(t *testing.T) {
	_, _, js := console.Page()
	for _, bad := range []string{
		"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "setHTML", "srcdoc", "DOMParser", "createContextualFragment",
		"eval(", "Function(", "javascript:", "import(", "setAttribute('style", "setAttribute('on",
	} {
		if strings.Contains(js, bad) {
			t.Errorf("console.js uses %s", bad)
		}
	}
	if m := regexp.MustCompile(`set(Timeout|Interval)\(\s*['"]`).FindString(js); m != "" {
		t.Errorf("console.js runs text as code: %s", m)
	}
}

// The page works offline and under its policy: nothing inline, nothing from elsewhere.
func TestPageStandsAlone(t *testing.T) {
	html, css, js := console.Page()
	for name, text := range map[string]string{"index.html": html, "console.css": css, "console.js": js} {
		for _, url := range regexp.MustCompile(`(https?:)?//[a-z0-9.-]+\.[a-z]+[^\s'"]*`).FindAllString(text, -1) {
			if url != "http://www.w3.org/2000/svg" { // a name, never fetched
				t.Errorf("%s refers to %s", name, url)
			}
		}
	}
	for _, bad := range []string{"<style", "style=", "<script>", " onclick", " onload", "@import", "data:"} {
		if strings.Contains(html+css, bad) {
			t.Errorf("the page has %s", bad)
		}
	}
	if n := strings.Count(html, "<script "); n != 2 || !strings.Contains(html, `<script type="module" src="console.js">`) ||
		!strings.Contains(html, `<script type="application/json" id="first">null</script>`) { // data, which no browser runs
		t.Errorf("%d scripts", n)
	}
}

func TestScriptFindsItsElements(t *testing.T) {
	html, _, js := console.Page()
	ids := regexp.MustCompile(`\$\('([a-z-]+)'\)`).FindAllStringSubmatch(js, -1)
	if len(ids) < 20 {
		t.Fatalf("found only %d", len(ids))
	}
	for _, id := range ids {
		if strings.Count(html, `id="`+id[1]+`"`) != 1 {
			t.Errorf("index.html has no single element %q", id[1])
		}
	}
}

// Every level has its shape, every code its words.
func TestPageKnowsTheNouns(t *testing.T) {
	html, css, js := console.Page()
	for _, l := range []string{
		model.Normal.String(), model.Watch.String(), model.Alarm.String(), model.Critical.String(), console.LevelQuarantined, console.LevelUnknown,
	} {
		if !strings.Contains(html, `<symbol id="`+l+`"`) || !strings.Contains(css, "."+l) || !strings.Contains(js, "'"+l+"'") {
			t.Errorf("the page does not know the level %s", l)
		}
	}
	for _, r := range []stream.Reason{
		stream.TooLarge, stream.UnknownTopic, stream.BadName, stream.Malformed, stream.MissingField, stream.NotFinite, stream.BadTime,
		stream.Future, stream.TooOld, stream.Duplicate, stream.Conflict, stream.Late,
		stream.Incomplete, stream.Gap, stream.OutOfRange, stream.Flatline, stream.Spikes, stream.RateOfChange,
	} {
		if !strings.Contains(js, string(r)+": '") {
			t.Errorf("the page has no words for the reason %s", r)
		}
	}
	if !strings.Contains(js, "c.text") {
		t.Error("the page does not show the words of a contribution")
	}
}

// TestPageComesWithItsFirstFigures: what stands is inside the page as data; what a name says cannot end the element; without a source the page is
// served all the same.
func TestPageComesWithItsFirstFigures(t *testing.T) {
	p := newPlant()
	p.snap.Assets[0].Asset = `</script><b>"x`
	url, _ := start(t, console.New(configOf(p)))
	first := func() (data string) {
		t.Helper()
		status, _, body := ask(t, http.MethodGet, url+"/", nil)
		_, rest, ok := strings.Cut(body, `<script type="application/json" id="first">`)
		data, tail, closed := strings.Cut(rest, "</script>")
		if status != http.StatusOK || !ok || !closed || !strings.HasSuffix(strings.TrimSpace(tail), "</html>") || strings.Contains(tail, "<b>") {
			t.Fatalf("status %d, page %.200q … %.200q", status, rest, tail)
		}
		return data
	}
	var s console.Snapshot
	if err := json.Unmarshal([]byte(first()), &s); err != nil || len(s.Assets) != len(p.snap.Assets) || s.Assets[0].Asset != p.snap.Assets[0].Asset {
		t.Errorf("first figures: %v, %+v", err, s.Assets)
	}
	p.set(func(p *plant) { p.err = errors.New("the warehouse is away") })
	eventually(t, "a page without figures", func() bool { return first() == "null" })
}
