package store_test

import (
	"errors"
	"fmt"
	"hash/maphash"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/camrail/cidp/store"
	"github.com/camrail/cidp/store/faulty"
)

// tale is a story with what the warehouse holds after each of its steps; before the first, it holds what it does after it.
type tale struct {
	steps   []step
	after   []uint64
	moments int                           // at which a power cut may come
	syncs   int                           // of them
	prepare func(t *testing.T, to string) // lays out what is there before the first step; nil: nothing
}

// known runs a story without a power cut.
func known(t *testing.T, steps []step, prepare func(*testing.T, string)) tale {
	t.Helper()
	tale := tale{steps: steps, prepare: prepare}
	r := &rig{path: dbPath(t)}
	if prepare != nil {
		prepare(t, r.path)
	}
	disk := faulty.New(t.Name()+"/known", faulty.Options{Tell: func(e faulty.Event) {
		tale.moments++
		if e.Op == faulty.Sync {
			tale.syncs++
		}
		r.tell(e)
	}})
	defer disk.Close()
	r.vfs = disk.Name()
	for range steps {
		if err := r.next(steps); err != nil {
			t.Fatal(err)
		}
		sum, err := dump(r.path)
		if err != nil {
			t.Fatal(err)
		}
		if len(tale.after) == 0 {
			tale.after = append(tale.after, sum)
		}
		tale.after = append(tale.after, sum)
	}
	holds(t, r.path)
	return tale
}

// cut is a power cut: what the disk held, and which steps had begun and returned by then.
type cut struct {
	image       faulty.Image
	begun, done int32
	what        string
	seed        uint64
}

// cutter collects power cuts from a running story and proves what is left after each.
type cutter struct {
	tale
	t   *testing.T
	dir string

	cuts    chan cut
	workers sync.WaitGroup
	checked atomic.Int64
	lost    atomic.Int64                     // cuts after which something was wrong
	told    func(format string, args ...any) // says what
	ending  func()

	keep func(cut) // takes each cut instead of its being proven; nil: it is proven

	mu   sync.Mutex
	seen map[uint64]bool
}

func newCutter(t *testing.T, tale tale, told func(string, ...any)) *cutter {
	c := &cutter{t: t, tale: tale, dir: t.TempDir(), cuts: make(chan cut, 8), seen: map[uint64]bool{}, told: told}
	c.ending = sync.OnceFunc(func() {
		close(c.cuts)
		c.workers.Wait()
	})
	t.Cleanup(c.ending)
	for range runtime.GOMAXPROCS(0) {
		c.workers.Go(func() {
			for k := range c.cuts {
				n := c.checked.Add(1)
				dir := filepath.Join(c.dir, fmt.Sprint(n))
				if err := c.prove(k, dir); err != nil {
					c.lost.Add(1)
					c.told("power cut %s (seed %d), %d steps begun, %d returned: %v", k.what, k.seed, k.begun, k.done, err)
				}
				_ = os.RemoveAll(dir)
			}
		})
	}
	return c
}

// end waits for all proofs.
func (c *cutter) end() { c.ending() }

var sums = maphash.MakeSeed()

// add takes a cut, unless the same disk was seen at the same step.
func (c *cutter) add(k cut) {
	key := k.image.Sum(sums) ^ uint64(k.begun)<<32 ^ uint64(k.done)
	c.mu.Lock()
	seen := c.seen[key]
	c.seen[key] = true
	c.mu.Unlock()
	switch {
	case seen:
	case c.keep != nil:
		c.keep(k)
	default:
		c.cuts <- k
	}
}

// prove opens what the power cut left: every step that had returned is there, the one that had begun is there whole or not at all, nothing else is, every
// invariant holds, and the story goes on to its next step.
func (c *cutter) prove(k cut, dir string) error {
	if err := k.image.WriteTo(dir); err != nil {
		return err
	}
	r := &rig{path: filepath.Join(dir, "industrial_dwh.sqlite")}
	if err := r.open(); err != nil {
		return fmt.Errorf("open: %w", err)
	}
	defer r.close()
	at, err := c.stateOf(r.path, k)
	if err != nil {
		return err
	}
	if err := sound(c.t, r.path); err != nil {
		return err
	}
	if int(k.begun) >= len(c.steps) {
		return nil
	}
	r.done.Store(max(k.done, 1)) // what was not acknowledged comes again, also when it is there
	if err := r.next(c.steps); err != nil {
		return fmt.Errorf("state %d: go on: %w", at, err)
	}
	if r.db == nil {
		return nil
	}
	if c.steps[r.done.Load()-1].free {
		return sound(c.t, r.path)
	}
	if sum, err := dump(r.path); err != nil || sum != c.after[r.done.Load()] {
		return fmt.Errorf("state %d: step %d again gives another state than the undisturbed run (%v)", at, r.done.Load(), err)
	}
	return nil
}

// sound is Verify.
func sound(t testing.TB, path string) error {
	report, err := store.Verify(t.Context(), path, nil, store.Quick())
	if err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	if !report.OK {
		return fmt.Errorf("verify: %v", report.Breaches)
	}
	return nil
}

// stateOf finds which step's state is on disk.
func (c *cutter) stateOf(path string, k cut) (int32, error) {
	sum, err := dump(path)
	if err != nil {
		return 0, err
	}
	for at := k.done; at <= k.begun; at++ {
		if c.after[at] == sum {
			return at, nil
		}
	}
	for at := range c.after {
		if c.after[at] == sum {
			return 0, fmt.Errorf("the warehouse is as after step %d (%s)", at, c.steps[max(at-1, 0)].name)
		}
	}
	return 0, errors.New("the warehouse holds a state that never was: a commit is there in part")
}

// run has the story happen on a disk and cuts the power at about so many of its moments, and at as many of its syncs.
func (c *cutter) run(o faulty.Options, wanted int, pragma string) {
	c.t.Helper()
	r := &rig{path: dbPath(c.t), pragma: pragma}
	if c.prepare != nil {
		c.prepare(c.t, r.path)
	}
	disk := c.disk(c.t.Name(), o, r, func(e faulty.Event, luck *rand.Rand) bool {
		return luck.IntN(c.moments) < wanted || e.Op == faulty.Sync && luck.IntN(c.syncs) < wanted
	})
	defer disk.Close()
	if err := r.run(c.steps); err != nil {
		c.t.Error(err)
	}
}

// disk gives one that cuts the power of a rig at each moment that is wanted, in one way of losing what was not synced; with CIDP_LONG=1 in every way.
func (c *cutter) disk(name string, o faulty.Options, r *rig, wanted func(faulty.Event, *rand.Rand) bool) *faulty.Disk {
	var disk *faulty.Disk
	n, luck := uint64(0), rand.New(rand.NewPCG(3, uint64(c.moments)))
	o.Tell = func(e faulty.Event) {
		defer r.tell(e)
		n++
		if !wanted(e, luck) {
			return
		}
		one := luck.IntN(faulty.Losses)
		for loss := range faulty.Loss(faulty.Losses) {
			if loss != faulty.Loss(one) && !everyOne() {
				continue
			}
			c.add(cut{disk.Crash(loss, n), r.begun.Load(), r.done.Load(), fmt.Sprintf("at moment %d, %s", n, describe(e, loss)), n})
		}
	}
	disk = faulty.New(name, o)
	r.vfs = disk.Name()
	return disk
}

func describe(e faulty.Event, loss faulty.Loss) string {
	when := "before"
	if e.Done {
		when = "after"
	}
	return fmt.Sprintf("%s operation %d on %s, loss %d", when, e.Op, filepath.Base(e.Path), loss)
}

// disks are what a disk may promise: the honest one, an older one, and what SQLite believes of the operating system's.
var disks = []faulty.Options{{Sector: 4096}, {Sector: 512}, {Sector: 4096, Powersafe: true}}

func describeDisk(o faulty.Options) string {
	return fmt.Sprintf("sector %d, powersafe %t", o.Sector, o.Powersafe)
}

// everyOne asks for every moment instead of a sample.
func everyOne() bool { return os.Getenv("CIDP_LONG") == "1" }

// often is how many moments are cut: a sample, or all.
func often(sample int) int { return most(sample, math.MaxInt) }

func most(sample, every int) int {
	switch {
	case everyOne():
		return every
	case raced:
		return sample/4 + 1
	}
	return sample
}

// TestPowerCut cuts the power before and after writes and syncs of a whole story, and once more while what that left is opened and goes on.
func TestPowerCut(t *testing.T) {
	tale := known(t, story(t), nil)
	for _, o := range disks {
		t.Run(describeDisk(o), func(t *testing.T) {
			c := newCutter(t, tale, t.Errorf)
			c.run(o, often(20), "")
			c.end()
			t.Logf("%d steps, %d moments, %d of them syncs, %d different disks after a power cut", len(tale.steps), tale.moments, tale.syncs, c.checked.Load())
			if c.checked.Load() < min(10, int64(often(20))) { // of a sample, some leave the same disk
				t.Errorf("only %d power cuts", c.checked.Load())
			}
		})
		t.Run(describeDisk(o)+", twice", func(t *testing.T) { cutTwice(t, tale, o) })
	}
	t.Run("is seen", func(t *testing.T) { // the proof can fail: with synchronous=NORMAL acknowledged commits are lost
		c := newCutter(t, tale, t.Logf)
		c.run(faulty.Options{Powersafe: true}, 20, `PRAGMA synchronous = NORMAL`)
		c.end()
		if c.lost.Load() == 0 {
			t.Errorf("%d power cuts with synchronous=NORMAL, and nothing was lost", c.checked.Load())
		}
	})
}

// cutTwice cuts the power, and cuts it again while the log that it left is being recovered.
func cutTwice(t *testing.T, tale tale, o faulty.Options) {
	c := newCutter(t, tale, t.Errorf)
	var first []cut
	c.keep = func(k cut) { first = append(first, k) }
	c.run(o, most(20, 20), "")
	c.keep = nil
	rand.New(rand.NewPCG(9, 9)).Shuffle(len(first), func(i, j int) { first[i], first[j] = first[j], first[i] })
	for i, k := range first[:min(len(first), most(4, 10))] {
		c.again(fmt.Sprint(t.Name(), "/", i), o, k)
	}
	c.end()
	t.Logf("%d different disks after a second power cut", c.checked.Load())
}

// TestPowerCutWhileMigrating starts from a database of the first release.
func TestPowerCutWhileMigrating(t *testing.T) {
	tale := known(t, story(t)[:3], firstRelease)
	for _, o := range disks {
		t.Run(describeDisk(o), func(t *testing.T) {
			c := newCutter(t, tale, t.Errorf)
			c.run(o, often(12), "")
			c.end()
			t.Logf("%d moments, %d different disks after a power cut", tale.moments, c.checked.Load())
		})
	}
}

// again opens what one power cut left, on a disk whose power is cut too, and goes on.
func (c *cutter) again(name string, o faulty.Options, k cut) {
	dir := filepath.Join(c.t.TempDir(), "database")
	if err := k.image.WriteTo(dir); err != nil {
		c.t.Fatal(err)
	}
	r := &rig{path: filepath.Join(dir, "industrial_dwh.sqlite")}
	r.done.Store(k.done)
	r.begun.Store(k.begun)
	disk := c.disk(name, o, r, func(_ faulty.Event, luck *rand.Rand) bool { return luck.IntN(30) < often(1) })
	defer disk.Close()
	if err := r.open(); err != nil {
		c.t.Errorf("power cut %s: open: %v", k.what, err)
		return
	}
	r.done.Store(max(k.done, 1))
	for range min(2, len(c.steps)-int(r.done.Load())) {
		if c.steps[r.done.Load()].free {
			break
		}
		if err := r.next(c.steps); err != nil {
			c.t.Errorf("power cut %s: go on: %v", k.what, err)
		}
	}
	if err := r.close(); err != nil {
		c.t.Errorf("power cut %s: close: %v", k.what, err)
	}
}
