package broker

import (
	"context"
	"log/slog"
	"slices"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/rs/zerolog"
)

// logBridge gives mochi's warnings and errors to our log, at most ten a second: most are about what clients do, and clients may be many. It leaves
// out whole packets, which hold payloads and passwords.
type logBridge struct {
	log   zerolog.Logger
	attrs []slog.Attr
}

func newLogBridge(log zerolog.Logger) *logBridge {
	return &logBridge{log: log.Sample(&zerolog.BurstSampler{Burst: 10, Period: time.Second})}
}

// Enabled lets warnings and errors through.
func (l *logBridge) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }

// Handle writes one record.
func (l *logBridge) Handle(_ context.Context, r slog.Record) error {
	if r.Message == mqtt.ErrMinimumKeepalive.Error() {
		return nil // a client's own business
	}
	level := zerolog.WarnLevel
	if r.Level >= slog.LevelError {
		level = zerolog.ErrorLevel
	}
	line := l.log.WithLevel(level)
	for _, a := range l.attrs {
		line = appendAttr(line, a)
	}
	r.Attrs(func(a slog.Attr) bool {
		line = appendAttr(line, a)
		return true
	})
	line.Str("from", "mqtt").Msg(r.Message)
	return nil
}

func appendAttr(line *zerolog.Event, a slog.Attr) *zerolog.Event {
	switch a.Key {
	case "pk", "packet", "will":
		return line
	}
	return line.Str(a.Key, a.Value.String())
}

// WithAttrs adds attributes to every record.
func (l *logBridge) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &logBridge{log: l.log, attrs: append(slices.Clone(l.attrs), attrs...)}
}

// WithGroup is not used by mochi; names stay as they are.
func (l *logBridge) WithGroup(string) slog.Handler { return l }
