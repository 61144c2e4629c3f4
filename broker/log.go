package broker

import (
	"context"
	"log/slog"
	"slices"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/rs/zerolog"
)

// logBridge gives mochi's warnings and errors to our log of what clients do. It leaves out whole packets, which hold payloads and passwords.
type logBridge struct {
	log   zerolog.Logger
	attrs []slog.Attr
}

// Enabled lets warnings and errors through.
func (l *logBridge) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }

// Handle writes one record.
func (l *logBridge) Handle(_ context.Context, r slog.Record) error {
	switch r.Message {
	case mqtt.ErrMinimumKeepalive.Error(): // a client's own business
		return nil
	case "error processing packet": // told when the connection ends
		return nil
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
