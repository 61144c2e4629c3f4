package model

import (
	"bytes"
	_ "embed" // holds the default model
	"fmt"
)

//go:embed default.cidpmodel
var defaultFile []byte

// Default gives the forest that comes with the program, trained by `cidp train` on the simulator's fleet. Its manifest says how. It knows simulated
// machines only: a site's own verdicts make a better one.
func Default() (*Forest, error) {
	f, err := Decode(bytes.NewReader(defaultFile))
	if err != nil {
		return nil, fmt.Errorf("open default model: %w", err)
	}
	return f, nil
}
