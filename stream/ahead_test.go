package stream_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// TestExpectChangesNothing: what is told of the next topics, true or not, decides nothing.
func TestExpectChangesNothing(t *testing.T) {
	for seed := range uint64(30) {
		rng := rand.New(rand.NewPCG(seed, 31))
		cfg := smallConfig()
		line := arrival(morning(rng), cfg.Disorder.Milliseconds(), rng)
		plain, told := newDisk(t, cfg, frozen), newDisk(t, cfg, frozen)
		w, hinted := plain.windower(), told.windower()
		for i := range line {
			if rng.IntN(8) == 0 {
				var topics []string
				for k := i; k < min(i+rng.IntN(20), len(line)); k++ {
					if topics = append(topics, line[k].topic); rng.IntN(10) == 0 {
						topics = append(topics, "nobody/has/heard/of/it")
					}
				}
				hinted.Expect(topics)
			}
			if err := feedSent(w, &line[i], 0); err != nil {
				t.Fatal(err)
			}
			if err := feedSent(hinted, &line[i], 0); err != nil {
				t.Fatal(err)
			}
			if rng.IntN(20) == 0 {
				plain.commit(w.Take())
				told.commit(hinted.Take())
			}
		}
		plain.commit(w.Take())
		told.commit(hinted.Take())
		compareContent(t, fmt.Sprint("morning ", seed), told.content(), plain.content())
		if told.count.Stored != plain.count.Stored || told.count.Duplicate != plain.count.Duplicate || told.count.Refused != plain.count.Refused {
			t.Fatalf("morning %d counts %+v, without a hint %+v", seed, told.count, plain.count)
		}
	}
}
