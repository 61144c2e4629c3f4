package platform

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/rs/zerolog"

	"github.com/camrail/cidp/store"
	"github.com/camrail/cidp/stream"
)

// patientPast waits for a disk that cannot be read just now: the windower's state would be lost with a failed look-up. Nothing is acknowledged
// meanwhile, and publishers wait.
type patientPast struct {
	*store.Past
	ctx    context.Context
	status *status
	log    zerolog.Logger
}

// Reading looks a reading up, again and again while the disk refuses.
func (p *patientPast) Reading(sensorID, ts int64) (r stream.Reading, found bool, err error) {
	err = p.retry(func() (err error) { r, found, err = p.Past.Reading(sensorID, ts); return err })
	return r, found, err
}

// Context does the same for a context.
func (p *patientPast) Context(assetID, ts int64) (c stream.Context, found bool, err error) {
	err = p.retry(func() (err error) { c, found, err = p.Past.Context(assetID, ts); return err })
	return c, found, err
}

// Finding does the same for a finding.
func (p *patientPast) Finding(key stream.FindingKey) (f stream.Finding, found bool, err error) {
	err = p.retry(func() (err error) { f, found, err = p.Past.Finding(key); return err })
	return f, found, err
}

func (p *patientPast) retry(look func() error) error {
	err := look()
	if err == nil {
		return nil
	}
	_, err = backoff.Retry(p.ctx, func() (struct{}, error) {
		err := look()
		if errors.Is(err, store.ErrFatal) {
			err = backoff.Permanent(err)
		}
		return struct{}{}, err
	}, backoff.WithBackOff(retries()), backoff.WithMaxElapsedTime(0), backoff.WithNotify(func(err error, _ time.Duration) {
		if p.status.degrade(reasonRead, err.Error()) {
			p.log.Error().Err(err).Msg("look-up failed: nothing is acknowledged until it succeeds")
		}
	}))
	if err == nil && p.status.heal(reasonRead) {
		p.log.Info().Msg("look-ups succeed again")
	}
	return err
}

// retries is how often what the disk refused is tried again.
func retries() *backoff.ExponentialBackOff {
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval = firstRetry, longestRetry
	return wait
}
