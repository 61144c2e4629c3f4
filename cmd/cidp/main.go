// Command cidp is the Camrail Industrial Data Platform: sensors to alerts in one binary.
package main

import (
	"context"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/rs/zerolog"
)

// version is set at release with -ldflags "-X main.version=...".
var version = "0.1.0-dev"

func main() {
	if slices.Contains(os.Args[1:], "run") { // a file of that name costs a few milliseconds
		beCalm()
	}
	zerolog.TimeFieldFormat = "2006-01-02T15:04:05.000Z07:00" // zerolog's own ends at the second
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	go func() {
		<-ctx.Done()
		stop() // a second signal stops at once
	}()
	os.Exit(Main(ctx, os.Args[1:], os.Stdout, os.Stderr))
}
