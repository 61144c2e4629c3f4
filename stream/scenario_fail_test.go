package stream_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/camrail/cidp/stream"
)

const minuteAndTen = "every 1s from 12:00:00 to 12:01:10 axle1-left cycle 40.0 40.1 40.2\n"

// TestScenariosThatMustFail: a runner that is content with everything would be worse than none. Each names the line and says what came.
func TestScenariosThatMustFail(t *testing.T) {
	const good = "expect window axle1-left [12:00:00, 12:01:00) n 60 of 60 valid by watermark\n"
	for _, c := range []struct{ about, text, want string }{
		{"a window that nobody speaks of", minuteAndTen, "x:1: came and is not mentioned: window axle1-left [12:00:00, 12:01:00) n 60 of 60 valid by watermark mean 40.1"},
		{"spoken of too late", minuteAndTen + "wait 1s\n" + good, "x:1: came and is not mentioned: window"},
		{"nothing", minuteAndTen + "expect nothing\n", "x:2: nothing is expected, and came: window axle1-left"},
		{"a window that does not come", minuteAndTen + good + "expect window axle1-left [12:01:00, 12:02:00)\n", "x:3: expected window axle1-left [12:01:00, 12:02:00), it did not come; nothing else came"},
		{"another sensor's", minuteAndTen + strings.ReplaceAll(good, "left", "right"), "expected window axle1-right [12:00:00, 12:01:00), it did not come; not mentioned so far:\n\twindow axle1-left"},
		{"n", minuteAndTen + strings.Replace(good, "n 60", "n 59", 1), "x:2: window axle1-left [12:00:00, 12:01:00): n is 60, expected 59"},
		{"expected readings", minuteAndTen + strings.Replace(good, "of 60", "of 61", 1), "expected readings is 60, expected 61"},
		{"the verdict", minuteAndTen + strings.Replace(good, "valid", "quarantined gap", 1), "the verdict is valid, expected quarantined gap"},
		{"what closed it", minuteAndTen + strings.Replace(good, "by watermark", "by idle", 1), "closed by is watermark, expected idle"},
		{"a figure", minuteAndTen + good + "and mean 40.2\n", "x:2: window axle1-left [12:00:00, 12:01:00): mean is 40.1, expected 40.2 +- 0.001"},
		{"a figure outside its tolerance", minuteAndTen + good + "and mean 40.2 +- 0.09\n", "mean is 40.1, expected 40.2 +- 0.09"},
		{"a figure that is missing", minuteAndTen + good + "and speed_mean_kmh 3\n", "speed_mean_kmh is none, expected 3"},
		{"a figure that is not missing", minuteAndTen + good + "and mean none\n", "mean is 40.1, expected none"},
		{"the first reading", minuteAndTen + good + "and first 40.1\n", "first is 40, expected 40.1"},
		{"the sum", minuteAndTen + good + "and sum 2400\n", "sum is 2406, expected 2400"},
		{"the period", minuteAndTen + good + "and period 2s\n", "the period in ms is 1000, expected 2000"},
		{"a flag that is not there", minuteAndTen + good + "and flag 4 at 12:00:10\n", "flags are none, expected 4 at 12:00:10"},
		{"a flag that nobody speaks of", strings.Replace(minuteAndTen, "40.2", "850", 1) + "expect window axle1-left [12:00:00, 12:01:00) flag none\n", "flags are 4 at 12:00:02, 4 at"},
		{"the revision", minuteAndTen + good + "and revision 1\n", "expected window axle1-left [12:00:00, 12:01:00) revision 1, it did not come"},
		{"history", minuteAndTen + good + "and history\n", "its news is live, expected history"},
		{"the detail", minuteAndTen + good + "and detail \"no reading\"\n", `the detail is "", expected "no reading" in it`},
		{"too few windows", minuteAndTen + "expect 2 windows of axle1-left\n", "x:2: expected 2 windows of axle1-left, it did not come (1 did)"},
		{"a late reading", minuteAndTen + good + "12:00:30.5 axle1-left 40\n", "x:3: came and is not mentioned: late axle1-left 12:00:30.500"},
		{"late at another time", minuteAndTen + good + "12:00:30.5 axle1-left 40\nexpect late axle1-left 12:00:31\n", "x:4: expected 1 × late axle1-left 12:00:31, came 0"},
		{"late that is a duplicate", minuteAndTen + good + "12:00:30 axle1-left 40\nexpect late axle1-left 12:00:30\n", "came 0; not mentioned so far:\n\ta duplicate"},
		{"a conflict", minuteAndTen + good + "12:00:30 axle1-left 41\nexpect duplicate\n", "x:4: expected 1 × duplicate, came 0; not mentioned so far:\n\trefused conflict on cidp/v1/telemetry/douala/loco7/axle1-left at 12:00:30"},
		{"another reason", "0 axle1-left 40\nexpect refused future axle1-left\n", "expected 1 × refused future axle1-left, came 0"},
		{"a refusal that nobody speaks of", "0 axle1-left 40\n", "x:1: came and is not mentioned: refused bad_time on"},
		{"a counter", "12:00:00 axle1-left 40\nexpect count stored 2 late 0\n", "x:2: stored is 1, expected 2"},
		{"a sensor", "12:00:00 axle1-left 40\nexpect sensor axle1-left kind motor\n", `the kind of axle1-left is "bearing", expected "motor"`},
		{"an unknown sensor", "12:00:00 axle1-left 40\nexpect sensor axle1-right\n", "sensor axle1-right is not known"},
		{"a watermark", "12:00:00 axle1-left 40\nexpect watermark axle1-left 12:00:00\n", "the watermark of axle1-left is 11:59:50, expected 12:00:00"},
		{"an event", "12:00:00 axle1-left 40\nexpect event silent axle1-left\n", "expected 1 × event silent axle1-left, came 0"},
		{"another sensor ignored", "ignore windows of axle1-right\n" + minuteAndTen, "x:2: came and is not mentioned"},
	} {
		t.Run(c.about, func(t *testing.T) {
			s, err := parseScenario("x", c.text)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(playScenario(t, s), "\n"); !strings.Contains(got, c.want) {
				t.Errorf("%s\n got  %s\n want %s", c.text, got, c.want)
			}
		})
	}
}

// TestScenariosThatCannotBeRead: every word counts; a slip of the pen must not make an expectation vanish.
func TestScenariosThatCannotBeRead(t *testing.T) {
	for text, want := range map[string]string{
		"":                                              "x:1: nothing happens",
		"# only\n\n":                                    "x:1: nothing happens",
		"expct nothing":                                 `x:1: "expct" is no word of a scenario`,
		"\n\nexpect windows":                            "x:3: a sensor is missing at the end of the line",
		"expect wndow a [1, 2)":                         `"wndow" is no word after expect`,
		"expect window a [12:00:00, 12:01:00":           `")" is expected here`,
		"expect window a [12:01:00, 12:00:00)":          "a window ends after it begins",
		"expect window a [12:01:00, 12:02:00) m":        `"m" is not an attribute of a window`,
		"expect window a [1, 2) n x":                    `"x" is not a whole number`,
		"expect window a [1, 2) mean x":                 `"x" is not a number`,
		"expect window a [1, 2) quarantined":            "quarantined for what?",
		"expect window a [1, 2) quarantined gpa":        "quarantined for what?",
		"expect window a [1, 2) by chance":              `not by "chance"`,
		"expect window a [1, 2) flag 1 at 12:00":        "1 is not the flag",
		"expect window a [1, 2) detail gap":             "in double quotes",
		"expect 2 windows of a [1, 2)":                  "once a revision",
		"expect 0 windows of a":                         "0 of something",
		"expect 2 nothing":                              `"nothing" cannot be counted`,
		"expect nothing at all":                         `"at" is not understood here`,
		"expect refused futre":                          `"futre" is no reason for a reading`,
		"expect count":                                  "a counter is missing",
		"expect count stord 1":                          `"stord" is not a counter`,
		"expect event":                                  "some words",
		"expect sensor a colour red":                    `"colour" is not a property`,
		"and n 3":                                       "there is none",
		"12:00:00":                                      "a sensor is missing",
		"12:00:00 a":                                    "a number is missing",
		"12:00:00 a hot":                                `"hot" is not a number`,
		"12:00:00 a NaN":                                `"NaN" is not a number`,
		"12:00:00 a 1e300":                              "too large",
		"12:00:00 a 40 speed":                           "a number is missing",
		"12:00:00 a 40 speed 3 speed 4":                 `"speed" comes twice`,
		"12:00:00 a 40 brake 2":                         "brake is 0 or 1",
		"12:00:00 a 40, ":                               "a sensor is missing",
		"12:00:00 a 40 b 41":                            `"b" is not understood here`,
		"12:60:00 a 40":                                 `"12:60:00" is not a time`,
		"1:00:00 a 40":                                  `"1:00:00" is not a time`,
		"2024-03-04T12:00:00 a 40":                      "is not a time",
		"99999999999999999999 a 40":                     "is not a time",
		"12:00:00 a/b/c/d 40":                           "is not a sensor's name",
		"12:00:00 axle! 40":                             "is not a sensor's name",
		"12:00:00 context":                              "a context needs one of",
		"12:00:00 context 40":                           "a context needs one of",
		"every 0s from 12:00 to 12:01 a 40":             "at least 1ms",
		"every 1s from 12:01 to 12:00 a 40":             "the end comes before the beginning",
		"every 1ms from 12:00 to 13:00 a 40":            "at most 500000 readings",
		"every 1ms from 0 to 9007199254740992 a 4, b 4": "at most 500000 readings",
		"wait -3s":                                      `"-3s" is not a duration`,
		"wait soon":                                     `"soon" is not a duration`,
		"clock":                                         "a time is missing",
		"ignore everything":                             "cannot be ignored",
		"ignore events of a":                            "not told apart",
		"alarm a maybe":                                 `"off" is expected here`,
		"watermark 12:00":                               "watermarks explicit",
		"watermarks implicit":                           `"explicit" is expected here`,
		"watermarks explicit\n1 a 3\nrestart":           "x:3: a restart knows no explicit watermark",
		"watermarks explicit\n12:00 context speed 3":    "does not go with explicit watermarks",
		"watermarks explicit\nraw x y":                  "does not go with explicit watermarks",
		"raw ":                                          "a topic is missing",
		"12:00 a 40\nwindow 1m":                         "x:2: window is configuration",
		"window 1ms\n12:00 a 40":                        "the window must be between 1s and 24h",
		"kind wheel":                                    "wheel",
		"kind bearing cold 3":                           `"cold" is not a limit`,
		"sensor x colour red":                           "kind and period are",
		"sensor [ kind motor\n12:00 a 40":               "is not a shell pattern",
		"day today":                                     `"today" is not a date`,
		"site a/b":                                      `"a/b" is not a name`,
		"expect event \"open":                           "the quote is not closed",
	} {
		if _, err := parseScenario("x", text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// TestScenarioEvents: what a batch learns to carry beside what the runner knows is told, and must be spoken of.
func TestScenarioEvents(t *testing.T) {
	type silence struct {
		Sensor string
		Since  int64
		hidden int
	}
	type batch struct {
		stream.Count
		Windows []int
		Rumours []*silence
	}
	got := events(&batch{Windows: []int{1}, Rumours: []*silence{{Sensor: "axle1-left", Since: 7, hidden: 1}, {Sensor: "motor1"}}})
	if want := []string{"event rumours Sensor=axle1-left Since=7", "event rumours Sensor=motor1"}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("events %q, want %q", got, want)
	}
	s, err := parseScenario("x", "wait 1s\nexpect event rumours Sensor=motor1\nexpect event Since=7\nexpect event \"Since=8\"\n")
	if err != nil {
		t.Fatal(err)
	}
	p := &play{scenario: s}
	for _, text := range got {
		p.add(output{what: "events"}, "%s", text)
	}
	for _, st := range s.steps[1:] {
		st.run(p)
	}
	if want := []string{"x:4: expected 1 × event Since=8, came 0; nothing else came"}; fmt.Sprint(p.problems) != fmt.Sprint(want) {
		t.Errorf("problems %q, want %q", p.problems, want)
	}
}

var placeInFile = regexp.MustCompile(`^x:[1-9][0-9]*: `)

// FuzzScenario holds that the parser takes any text, names the line of what it refuses, and that what it accepts can be played.
func FuzzScenario(f *testing.F) {
	files, err := filepath.Glob("testdata/scenarios/*.txt")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := parseScenario("x", text)
		if err != nil {
			if !placeInFile.MatchString(err.Error()) {
				t.Errorf("%q: no place in %v", text, err)
			}
			return
		}
		if s.readings > 2000 || s.cfg.Disorder > time.Hour || len(s.steps) > 200 || strings.Contains(text, "restart") {
			return // a restart looks for what is due at once; of readings that come far behind, live looking waits for the next boundary
		}
		for _, problem := range playScenario(t, s) {
			if !placeInFile.MatchString(problem) {
				t.Errorf("%q: no place in %s", text, problem)
			}
		}
	})
}
