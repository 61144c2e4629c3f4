package platform

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/camrail/cidp/store"
)

// notices is where the keeper tells people what it finds.
type notices interface {
	degrade(reason, detail string) bool // readings are no longer accepted
	heal(reason string) bool
	advise(reason, detail string) bool // they are, and somebody should look
	settle(reason string) bool
}

// keeperConfig is what a keeper is made with.
type keeperConfig struct {
	keep      store.Keep
	low, stop int64 // bytes of room; 0: by the size of the file system, below 0: never
	status    notices
	registry  prometheus.Registerer
	log       zerolog.Logger

	fileSystem func(path string) (free, size int64, known bool, err error)
}

// keeper looks after the room that the warehouse takes, off the commit path: it copies the write-ahead log into the file, lets go of what is old enough, and watches
// the disk. Run's goroutine owns it; admit may be called from any.
//
// When room is below the low mark, readings older than their minimum go, the oldest first, however long they were to be kept. Below the stop mark
// admit refuses, until there is room again.
type keeper struct {
	keeperConfig
	db      *store.DB
	copier  *store.Checkpointer
	metrics keeperMetrics

	refusal atomic.Pointer[error] // why nothing is taken; nil: it is

	short, full bool
	broken      bool            // the warehouse contradicts itself
	failing     map[string]bool // what failed the last time
	expired     store.Expired   // since room ran short
	busySince   time.Time       // since when there was always more to expire; zero: there was not
	inUse       int64           // bytes of the database, when that was last looked at
}

const (
	copyEvery  = 50 * time.Millisecond // the log is looked at
	lookEvery  = time.Second           // the disk is
	sweepEvery = 10 * time.Second      // retention looks again once it has found nothing more
	retryEvery = 5 * time.Second       // after an error

	// Retention works one part in so many of the time: always, when it has not caught up for catchUp, and when room is short or the database a quarter larger than it is to be.
	calmShare, busyShare, shortShare = 10, 3, 2
	catchUp                          = 30 * time.Second

	heldLong = 30 * time.Second // a reader that holds the log for so long is told of

	gib = 1 << 30
	mib = 1 << 20
)

// newKeeper opens the keeper's connection to the warehouse, looks at the disk once and says why nothing would be taken. Close it before the warehouse.
func newKeeper(db *store.DB, c keeperConfig) (*keeper, error) {
	if c.fileSystem == nil {
		c.fileSystem = store.FileSystem
	}
	copier, err := db.Checkpointer()
	if err != nil {
		return nil, err
	}
	k := &keeper{keeperConfig: c, db: db, copier: copier, metrics: newKeeperMetrics(c.registry), failing: map[string]bool{}}
	k.look()
	return k, nil
}

// admit says why nothing may be committed and acknowledged now; nil: it may.
func (k *keeper) admit() error {
	if err := k.refusal.Load(); err != nil {
		return *err
	}
	return nil
}

// close gives the connection up; commits copy the log again. Run has ended.
func (k *keeper) close() error { return k.copier.Close() }

// run works until ctx ends.
func (k *keeper) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	start := time.Now()
	copyAt, lookAt, expireAt := start, start.Add(lookEvery), start
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		if now := time.Now(); !now.Before(copyAt) {
			k.copy(ctx)
			copyAt = time.Now().Add(copyEvery) // what a step took is no rest
		}
		if now := time.Now(); !now.Before(lookAt) {
			if k.look() { // what is short is not waited for
				expireAt = now
			}
			lookAt = time.Now().Add(lookEvery)
		}
		if now := time.Now(); !now.Before(expireAt) {
			expireAt = time.Now().Add(k.expire(ctx, now))
		}
		timer.Reset(max(0, min(time.Until(copyAt), time.Until(lookAt), time.Until(expireAt))))
	}
}

// copy takes one step of the log.
func (k *keeper) copy(ctx context.Context) {
	r, err := k.copier.Step(ctx, time.Now())
	if ctx.Err() == nil && !k.failed("copy the write-ahead log", err) {
		k.copied(r)
	}
}

// copied tells of a step of the log.
func (k *keeper) copied(r store.Checkpointed) {
	k.metrics.copied(r)
	switch {
	case r.Held >= heldLong && r.Log > store.WALBound:
		detail := fmt.Sprintf("a program that reads the database has kept the write-ahead log from being emptied for %s; it has %s; end that program, or let it read a copy",
			r.Held.Truncate(time.Second), size(r.Log))
		if k.status.advise(reasonLog, detail) {
			k.log.Warn().Msg(detail)
		}
	case r.Held == 0:
		if k.status.settle(reasonLog) {
			k.log.Info().Msg("the write-ahead log can be emptied again")
		}
	}
}

// failed logs an error once, until it has passed, and says whether there is one.
func (k *keeper) failed(what string, err error) bool {
	if err == nil {
		delete(k.failing, what)
		return false
	}
	k.metrics.failures.Inc()
	if errors.Is(err, store.ErrFatal) { // the next commit ends the line with it
		k.broken = true
		k.refusal.Store(&err)
		k.status.degrade(reasonStore, err.Error())
	}
	if !k.failing[what] {
		k.failing[what] = true
		k.log.Warn().Err(err).Msg("cannot " + what + "; it is tried again")
	}
	return true
}

// expire takes one step of retention and says how long to rest after it.
func (k *keeper) expire(ctx context.Context, now time.Time) (rest time.Duration) {
	if !k.keep.Any() && !k.short {
		return sweepEvery
	}
	share := k.share(now)
	e, took, err := k.step(ctx, now, share)
	k.metrics.went(e)
	if ctx.Err() != nil || k.failed("let go of what is old", err) {
		return retryEvery
	}
	if e.Size > 0 {
		k.inUse = e.Size
	}
	if k.short {
		k.expired.Add(e)
	}
	k.tooLarge(e.Over && !e.More)
	if k.short {
		k.look() // no more goes than must
	}
	switch {
	case !e.More:
		k.busySince = time.Time{}
		if k.short {
			return lookEvery
		}
		return sweepEvery
	case k.busySince.IsZero():
		k.busySince = now
	}
	waited := time.Since(now) - took
	return max(time.Millisecond, time.Duration(share-1)*took-waited)
}

// step takes as many steps as are worth it; one where the disk is short, so that no more goes than must.
func (k *keeper) step(ctx context.Context, now time.Time, share int) (store.Expired, time.Duration, error) {
	if !k.short {
		return k.db.ExpireShare(ctx, k.keep, now, false, share)
	}
	e, err := k.db.Expire(ctx, k.keep, now, true)
	return e, time.Since(now), err
}

// share is in how many parts of the time one belongs to retention.
func (k *keeper) share(now time.Time) int {
	switch {
	case k.short, k.keep.Bytes > 0 && k.inUse > k.keep.Bytes+k.keep.Bytes/4:
		return shortShare
	case !k.busySince.IsZero() && now.Sub(k.busySince) > catchUp:
		return busyShare
	}
	return calmShare
}

// tooLarge tells that the database is larger than it is to be and that nothing that is left may go.
func (k *keeper) tooLarge(yes bool) {
	if !yes {
		k.status.settle(reasonSize)
		return
	}
	detail := fmt.Sprintf("the database has more than keep-bytes (%s), and no reading that is left is older than keep-raw-min (%s): raise one or shorten the other, or keep-windows",
		size(k.keep.Bytes), k.keep.RawMin)
	if k.status.advise(reasonSize, detail) {
		k.log.Warn().Msg(detail)
	}
}

// look measures the room and says whether it has just become short.
func (k *keeper) look() (short bool) {
	room, err := k.copier.Room()
	if k.failed("measure the database", err) {
		return false
	}
	free, total, known, err := k.fileSystem(filepath.Dir(k.db.Path()))
	if k.failed("measure the disk", err) {
		return false
	}
	k.metrics.room(room, free, known)
	if !known {
		return false
	}
	low, stop := k.marks(total)
	left := free + room.Reusable
	// Pages of the file that are free again are room, but what is committed goes through the log first, which needs real space until it has its full length.
	need := min(stop, max(0, store.WALBound-room.WAL))
	k.fill(left < above(stop, k.full) || free < above(need, k.full), free, room.Reusable, stop)
	return k.shorten(left < above(low, k.short), free, room.Reusable, low)
}

// above raises a mark that was passed, so that what swings around it does not come and go.
func above(mark int64, passed bool) int64 {
	if passed {
		return mark + mark/8
	}
	return mark
}

// marks gives the marks for a file system of a size, 0 where there is none.
func (k *keeper) marks(total int64) (low, stop int64) {
	low = cmp.Or(k.low, min(gib, total/10))
	stop = cmp.Or(k.stop, min(256*mib, total/20))
	if k.low == 0 { // what is set wins
		low = max(low, stop)
	} else if k.low > 0 && k.stop == 0 {
		stop = min(stop, low)
	}
	return max(0, low), max(0, stop)
}

// fill opens or closes the gate.
func (k *keeper) fill(full bool, free, reusable, stop int64) {
	if full == k.full || k.broken {
		return
	}
	k.full = full
	if !full {
		k.refusal.Store(nil)
		k.status.heal(reasonRoom)
		k.log.Info().Str("free", size(free)).Str("reusable", size(reusable)).Msg("there is room again: readings are accepted")
		return
	}
	err := fmt.Errorf("the disk is full: %s are free and %s within the database, less than the stop mark of %s; nothing is acknowledged until there is room",
		size(free), size(reusable), size(stop))
	k.refusal.Store(&err)
	if k.status.degrade(reasonRoom, err.Error()) {
		k.log.Error().Msg(err.Error())
	}
}

// shorten begins or ends to let go of readings before their time.
func (k *keeper) shorten(short bool, free, reusable, low int64) (began bool) {
	if short == k.short {
		return false
	}
	k.short = short
	if !short {
		k.status.settle(reasonRoom)
		k.log.Info().Int64("readings", k.expired.Readings).Int64("contexts", k.expired.Contexts).Time("before", time.UnixMilli(k.expired.Before)).
			Msg("the disk is no longer short; so much was let go before its time")
		return false
	}
	k.expired = store.Expired{}
	detail := fmt.Sprintf("the disk runs short: %s are free and %s within the database, less than the low mark of %s; readings older than %s go now, the oldest first",
		size(free), size(reusable), size(low), k.keep.RawMin)
	if k.status.advise(reasonRoom, detail) {
		k.log.Warn().Msg(detail)
	}
	return true
}

// size writes bytes for people.
func size(bytes int64) string {
	for _, u := range []struct {
		unit int64
		name string
	}{{gib, "GiB"}, {mib, "MiB"}, {1 << 10, "KiB"}} {
		if bytes >= u.unit {
			return fmt.Sprintf("%.1f %s", float64(bytes)/float64(u.unit), u.name)
		}
	}
	return fmt.Sprintf("%d bytes", bytes)
}
