// Command cidp is the Camrail Industrial Data Platform: sensors to alerts in one binary.
package main

import (
	"context"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/rs/zerolog"
)

// version is set at release with -ldflags "-X main.version=...".
var version = "0.1.0-dev"

func main() {
	if isRun(os.Args[1:]) {
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

// isRun says whether a command line starts the platform. It is asked before the line is read properly: what is wrong with it is told later.
func isRun(args []string) bool {
	for i := 0; i < len(args); i++ {
		switch a := args[i]; {
		case a == "--config", a == "--log-level":
			i++ // and its value
		case a == "run":
			return !slices.Contains(args, "--help") && !slices.Contains(args, "-h")
		case !strings.HasPrefix(a, "-"):
			return false
		}
	}
	return false
}
