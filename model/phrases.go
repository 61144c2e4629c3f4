package model

import (
	"math"
	"strings"

	"github.com/camrail/cidp/stream"
)

// phrase is how people say a feature's figure. % stands for the figure with its unit.
type phrase struct {
	says    string // of 0 and more
	below   string // of less than 0, said of the figure without its sign; empty: the sign is said
	up      string // one word for the direction of says, for a usual figure on the other side
	down    string // the same of below
	missing string // when there is no figure
	share   bool   // said in percent
}

var phrases = [stream.NumFeatures]phrase{
	stream.FKind:         {says: "the component is a %", missing: "the component is not known"},
	stream.FMean:         {says: "mean of %", missing: "no temperature"},
	stream.FMax:          {says: "highest reading of %", missing: "no temperature"},
	stream.FMin:          {says: "lowest reading of %", missing: "no temperature"},
	stream.FStd:          {says: "standard deviation of %", missing: "no temperature"},
	stream.FLast:         {says: "last reading of %", missing: "no temperature"},
	stream.FSlope:        {says: "rising by %", below: "falling by %", up: "rising", down: "falling", missing: "no temperature"},
	stream.FShortLong:    {says: "% over its mean at the end", below: "% under its mean at the end", up: "over", down: "under", missing: "no temperature"},
	stream.FAmbient:      {says: "ambient of %", missing: "ambient not known"},
	stream.FOverAmbient:  {says: "% over ambient", below: "% under ambient", up: "over", down: "under", missing: "ambient not known"},
	stream.FSpeed:        {says: "mean speed of %", missing: "speed not known"},
	stream.FLoad:         {says: "mean load of %", missing: "load not known"},
	stream.FBrakeShare:   {says: "brake applied for %", missing: "braking not known", share: true},
	stream.FRiseBaseline: {says: "% over its baseline", below: "% under its baseline", up: "over", down: "under", missing: "no baseline yet"},
	stream.FPeerDiff:     {says: "% over its peers", below: "% under its peers", up: "over", down: "under", missing: "fewer than 2 peers"},
	stream.FPeerZ: {says: "% robust deviations over its peers", below: "% robust deviations under its peers", up: "over", down: "under",
		missing: "fewer than 3 peers"},
	stream.FMateDiff: {says: "% over its mate", below: "% under its mate", up: "over", down: "under", missing: "no mate"},
	stream.FHeading: {says: "heading for % over ambient", below: "heading for % under ambient", up: "over", down: "under",
		missing: "no heading: ambient not known"},
	stream.FCompleteness: {says: "% of the expected readings", missing: "completeness not known", share: true},
	stream.FSuspectShare: {says: "% of the readings suspect", missing: "flags not known", share: true},
}

// phraseOf finds a feature's place in stream.FeatureList; -1 for a feature of another list.
func phraseOf(name string) int {
	for i := range stream.FeatureList {
		if stream.FeatureList[i].Name == name {
			return i
		}
	}
	return -1
}

// Text says the figure in words with its unit, and what is usual where the model says: "12.4 K over its mate, usual 1.1 K".
func (c Contribution) Text() string {
	i := phraseOf(c.Feature)
	switch {
	case i < 0 && math.IsNaN(c.Value):
		return c.Feature + " missing"
	case i < 0 && c.Usual == nil:
		return c.Feature + " " + figure(c.Value)
	case i < 0:
		return c.Feature + " " + figure(c.Value) + ", usual " + figure(*c.Usual)
	case math.IsNaN(c.Value):
		return phrases[i].missing
	case i == stream.FKind:
		return strings.Replace(phrases[i].says, "%", stream.Kind(c.Value).String(), 1)
	}
	p := &phrases[i]
	said, under := p.says, p.below != "" && c.Value < 0
	if under {
		said = p.below
	}
	text := strings.Replace(said, "%", p.measure(i, c.Value), 1)
	if c.Usual == nil {
		return text
	}
	text += ", usual " + p.measure(i, *c.Usual)
	switch below := *c.Usual < 0; {
	case p.below == "" || below == under || number(*c.Usual) == "0":
	case below:
		text += " " + p.down
	default:
		text += " " + p.up
	}
	return text
}

// measure writes a figure with its unit, without the sign that a direction says.
func (p *phrase) measure(i int, v float64) string {
	if p.below != "" {
		v = math.Abs(v)
	}
	if p.share {
		return number(100*v) + " %"
	}
	unit := unitText(stream.FeatureList[i].Unit)
	if unit == "1" {
		return number(v)
	}
	return number(v) + " " + unit
}
