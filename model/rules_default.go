package model

import "time"

// DefaultRules are limits gathered from published practice (the sources are named in each). They are defaults, not Camrail's own: an
// operator sets his, in the table [rules] of the configuration.
func DefaultRules() Rules {
	return Rules{Bearing: bearingRules(), Motor: motorRules(), Brake: brakeRules(), Transformer: transformerRules()}
}

const profile = "CIDP default profile"

func bearingRules() []Limit {
	return []Limit{
		{Rule: RuleAbsolute, Watch: 80, Alarm: 95, Critical: 110, Deadband: 5,
			Source: profile + ", between Indian Railways (70 to 80 degC), the German HOA (80 to 100 degC) and CR400BF onboard practice (110 degC)"},
		{Rule: RuleOverAmbient, Watch: 45, Alarm: 65, Critical: 90, Deadband: 5,
			Source: profile + ", between Chinese onboard practice (40 K) and US wayside practice (94 to 111 K)"},
		{Rule: RuleMateDifference, Watch: 20, Alarm: 35, Critical: 45, Deadband: 5,
			Source: profile + ", between Indian Railways (20 to 25 K on an axle) and the German HOA (45 K)"},
		{Rule: RulePeerDifference, Watch: 15, Alarm: 35, Critical: 45, Deadband: 5,
			Source: profile + ": Italian RTB practice (15 K over the mean of the other boxes), then as the difference on an axle"},
		{Rule: RulePeerZ, Watch: 4, Deadband: 1,
			Source: profile + ": K value of wayside practice (3 to 5), by median and MAD; it warns of what is unlike its peers, however little, and alarms of nothing"},
		{Rule: RuleRiseBaseline, Watch: 20, Alarm: 35, Critical: 45, Deadband: 5,
			Source: profile + ": the difference on an axle, held against the bearing's own past"},
		{Rule: RuleRate, Watch: 2.5, Alarm: 3.4, Deadband: 0.5, Steady: 20 * time.Minute,
			Source: profile + ": East Palestine, 2.6 and 3.4 K/min on average over 14 and 25 minutes (NTSB); warming up after a departure is 0.5 to 1.5 K/min"},
	}
}

func motorRules() []Limit {
	return []Limit{
		{Rule: RuleAbsolute, Watch: 135, Alarm: 145, Critical: 155, Deadband: 5,
			Source: "insulation class F, hot spot 155 degC: 20 K and 10 K below it, and it"},
		{Rule: RuleOverAmbient, Watch: 85, Alarm: 95, Critical: 105, Deadband: 5,
			Source: "insulation class F, rise of 105 K over ambient: 20 K and 10 K below it, and it"},
	}
}

func brakeRules() []Limit {
	return []Limit{
		{Rule: RuleAbsolute, Watch: 200, Alarm: 300, Critical: 400, Deadband: 10, Unbraked: 5 * time.Minute,
			Source: profile + ": hot without braking is a dragging brake; braking itself reaches nearly 600 degC"},
		{Rule: RulePeerDifference, Watch: 100, Deadband: 10,
			Source: profile + ": 100 K over the median of the vehicle's brakes"},
		{Rule: RuleRiseBaseline, Watch: 100, Alarm: 150, Critical: 300, Deadband: 10, Unbraked: 5 * time.Minute,
			Source: profile + ": the 100 K over its peers, held against the brake's own past, which braking moves too"},
	}
}

func transformerRules() []Limit {
	return []Limit{
		{Rule: RuleAbsolute, Watch: 90, Alarm: 105, Critical: 130, Deadband: 5,
			Source: "IEC 60076-7 practice: top oil 90 and 105 degC; 130 degC trips on the hot spot, which is never cooler than the oil"},
		{Rule: RuleOverAmbient, Watch: 55, Alarm: 60, Critical: 75, Deadband: 3,
			Source: "IEC 60076-2, rise of the top oil: 60 K at full load; critical is the 105 degC of IEC 60076-7 at 30 degC"},
	}
}
