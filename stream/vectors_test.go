package stream_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/camrail/cidp/stream"
)

// The event-time tests of two other engines, run against ours with explicit watermark steps.
//
// Flink's watermark W says that nothing at or before W comes any more, and a window [a, b) fires when W >= b-1; our watermark M passes its end when M >= b. So W is our M-1.
// Its keys are independent: each is a sensor of an asset of its own. Its sums of ones are our n. A window that fires again is a revision; where the case purges what has fired
// (accumulate false) the figure is what the revision adds. Its lateness counts from the window's end, ours from the reading's own time to its sensor's newest: a reading
// early in its window is late for us up to one length sooner. Its sliding windows are ours that hop. It drops an element for each window that has closed and keeps it for the others;
// ours is late or in all of them. So the case runs with a lateness of one slide, and what revises a window that has closed is not told of it.
//
// eKuiper's operator hands single readings on in order once the watermark, the newest time of the slowest stream less the tolerance, has reached them. One unit of its time is
// a second here; a stream is a sensor of one asset; a reading is handed on when its window closes. With one stream the window is a unit, so that each reading has one of its own.
// With several it is ten, because ours waits for those who sent in the window or the one before: the windows that close are those whose end its last watermark has reached.
// It drops what is behind the watermark; we keep it while its window has not closed, and that is the one difference.

type vectors struct {
	Flink []struct {
		Name       string `json:"name"`
		Window     string `json:"window"`
		Size       int64  `json:"size_ms"`
		Slide      int64  `json:"slide_ms"`
		Lateness   int64  `json:"allowed_lateness_ms"`
		Accumulate bool   `json:"accumulate"`
		Steps      []struct {
			Element   []any  `json:"el"`
			Watermark *int64 `json:"wm"`
			Expect    []any  `json:"expect"`
		} `json:"steps"`
	} `json:"flink"`
	EKuiper []struct {
		Name      string   `json:"name"`
		Tolerance int64    `json:"late_tolerance"`
		Streams   []string `json:"streams"`
		Input     [][]any  `json:"input"`
		Expect    [][]any  `json:"expect"`
		Sent      bool     `json:"watermarks_sent"`
	} `json:"ekuiper"`
}

func readVectors(t *testing.T) (v vectors) {
	t.Helper()
	text, err := os.ReadFile("../../shared/vectors/event_time_vectors.json")
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("../shared/vectors/event_time_vectors.json is not there")
	}
	if err == nil {
		err = json.Unmarshal(text, &v)
	}
	if err != nil || len(v.Flink) == 0 || len(v.EKuiper) == 0 {
		t.Fatalf("read vectors: %v", err)
	}
	return v
}

// vectorPlant is a plant whose sensors are known to send often: no window is lengthened.
func vectorPlant(t *testing.T, window, disorder, lateness, hop int64) *plant {
	ms := func(v int64) time.Duration { return time.Duration(v) * time.Millisecond }
	return newPlant(t, func(cfg *stream.Config) {
		cfg.Window, cfg.Disorder, cfg.Lateness, cfg.Hop = ms(window), ms(disorder), ms(lateness), ms(hop)
		cfg.Patterns = []stream.Pattern{{Match: "*", Kind: stream.Other, Period: time.Millisecond}}
	})
}

func number(v any) int64 { return int64(v.(float64)) }

func TestFlinkVectors(t *testing.T) {
	for _, c := range readVectors(t).Flink {
		t.Run(c.Name, func(t *testing.T) {
			slides := c.Window == "sliding"
			if slides {
				c.Lateness += c.Slide
			}
			p := vectorPlant(t, c.Size, 0, c.Lateness, c.Slide)
			again := map[string]int64{}
			told, got, want, revised := map[string]int64{}, []string(nil), []string(nil), 0
			settle := func() {
				b := p.w.Take()
				p.commit(b)
				for _, w := range b.Windows {
					if slides && w.Revision > 0 {
						revised++
						continue
					}
					key := fmt.Sprint(w.Sensor.Asset, " ", w.End-1-t0)
					n := int64(w.N)
					if !c.Accumulate {
						n -= told[key]
					}
					told[key] = int64(w.N)
					got = append(got, fmt.Sprint(key, " ", n))
				}
			}
			for _, s := range c.Steps {
				switch {
				case s.Watermark != nil:
					p.w.SetWatermark(0, t0+*s.Watermark+1)
				case s.Element != nil:
					key, ts := s.Element[0].(string), number(s.Element[1])
					if slides { // the same time twice is a repeat for us: the second comes a millisecond after
						id := fmt.Sprint(key, ts)
						ts += again[id]
						again[id]++
					}
					p.publish(stream.TelemetryTopic("flink", key, "x"), fmt.Sprintf(`{"ts":%d,"temp_c":%v}`, t0+ts, s.Element[2]))
				default:
					want = append(want, fmt.Sprint(s.Expect[0], " ", number(s.Expect[2]), " ", number(s.Expect[1])))
				}
				settle()
			}
			if slides {
				slices.Sort(got) // ours close one asset after the other
				slices.Sort(want)
				if revised != 2 {
					t.Errorf("%d windows were revised by the two elements that Flink drops for one of their windows", revised)
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("got  %q\nwant %q", got, want)
			}
			if p.count.Late != 1 { // each case ends with one
				t.Errorf("%d late", p.count.Late)
			}
		})
	}
}

func TestEKuiperVectors(t *testing.T) {
	for _, c := range readVectors(t).EKuiper {
		t.Run(c.Name, func(t *testing.T) {
			window := int64(1000)
			if len(c.Streams) > 1 {
				window = 10_000
			}
			p := vectorPlant(t, window, c.Tolerance*1000, 0, 0)
			twice := map[string]int64{}
			newest := map[string]int64{}
			var behind []int64 // readings that the operator drops
			for _, in := range c.Input {
				name, at := in[0].(string), number(in[1])
				key := fmt.Sprint(name, at)
				if len(c.Streams) == 1 && at < newest[name]-c.Tolerance {
					behind = append(behind, at)
				}
				newest[name] = max(newest[name], at)
				p.send(name, fmt.Sprintf(`{"ts":%d,"temp_c":40}`, t0+at*1000+twice[key])) // the same time twice is a repeat for us: the second comes a millisecond after
				twice[key]++
			}
			mark, want := int64(0), map[int64]int{} // its last watermark, and the readings handed on by their window
			for i, name := range c.Streams {
				if v := newest[name] - c.Tolerance; i == 0 || v < mark {
					mark = v
				}
			}
			for _, e := range c.Expect {
				switch at := number(e[1]) * 1000; {
				case e[0] == "WM" && number(e[1]) > mark:
					t.Errorf("the case's own watermark %d is beyond %d", number(e[1]), mark)
				case e[0] != "WM":
					want[at-at%window]++
				}
			}
			for _, at := range behind {
				want[at*1000-at*1000%window]++ // kept: its window had not closed
			}
			if len(c.Streams) == 1 {
				p.w.SetWatermark(0, t0+mark*1000+window) // the watermark at a reading is our watermark at its window's end
			}
			p.commit(p.w.Take())
			got := map[int64]int{}
			for _, w := range p.windows {
				got[w.Start-t0] += w.N
			}
			if len(c.Streams) > 1 {
				for start := range want {
					if start+window > mark*1000 {
						delete(want, start) // the rest of it is still to come
					}
				}
			}
			if fmt.Sprint(got) != fmt.Sprint(want) || len(want) == 0 {
				t.Errorf("windows with readings %v, want %v", got, want)
			}
			if p.count.Late != 0 || strings.Contains(c.Name, "single disordered") != (len(behind) == 1) {
				t.Errorf("%d late, %v behind the watermark", p.count.Late, behind)
			}
		})
	}
}
