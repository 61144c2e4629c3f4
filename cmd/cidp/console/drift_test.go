package console_test

import (
	"strings"
	"testing"

	"github.com/camrail/cidp/cmd/cidp/console"
	"github.com/camrail/cidp/model"
	"github.com/camrail/cidp/stream"
)

// TestDriftSectionKnowsTheNouns: every feature has its words, every state its word.
func TestDriftSectionKnowsTheNouns(t *testing.T) {
	_, css, js := console.Page()
	for _, f := range stream.FeatureList {
		if !strings.Contains(js, f.Name+": '") {
			t.Errorf("the section on drift has no words for %s", f.Name)
		}
	}
	for _, s := range []model.DriftState{model.DriftUnknown, model.DriftSteady, model.DriftWatch, model.DriftLook} {
		if !strings.Contains(js, string(s)+": '") || s != model.DriftUnknown && !strings.Contains(css, ".mood."+string(s)) {
			t.Errorf("the section on drift does not know the state %s", s)
		}
	}
}
