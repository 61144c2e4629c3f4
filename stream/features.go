package stream

// Feature is one column of a window's features: its name, its unit and what it means. The order of FeatureList is the order of
// Features, of telemetry_window's columns and of a model's inputs.
type Feature struct {
	Name string
	Unit string
	Doc  string
}

// FeatureNote says more of a feature to who reads its column: between what it lies in a valid window, and what it is when its input is missing (NaN, which is NULL in a table).
type FeatureNote struct {
	Range   string
	Missing string
}

// FeatureNotes has a note for each feature, in the order of FeatureList. Cleaned temperatures are those that did not fail, spikes replaced, gaps of up to two readings
// filled; limits are those of the sensor's kind (Limits). A baseline is the sensor's own usual rise over ambient in one of five classes of mean speed: a clipped mean of at
// most 240 windows, moved by at most 3 K over their number, still while an alarm stands or the window is quarantined. Load has no classes.
var FeatureNotes = [NumFeatures]FeatureNote{
	FKind:         {"0 to 4", "never: a name that tells nothing is 0"},
	FMean:         {"within the fail limits", "missing without a cleaned temperature"},
	FMax:          {"within the fail limits", "missing without a cleaned temperature"},
	FMin:          {"within the fail limits", "missing without a cleaned temperature"},
	FStd:          {"0 and more, at most half of max less min", "missing without a cleaned temperature; 0 with one"},
	FLast:         {"within the fail limits", "missing without a cleaned temperature"},
	FSlope:        {"within the kind's rate, both ways, but for noise", "missing without a cleaned temperature; 0 with one"},
	FShortLong:    {"less than max less min, both ways", "missing without a cleaned temperature"},
	FAmbient:      {"as reported", "missing without ambient in a reading or a context at most 5 minutes older"},
	FOverAmbient:  {"mean less ambient", "missing without temperature or ambient"},
	FSpeed:        {"as reported, 0 and more", "missing without speed, as ambient"},
	FLoad:         {"as reported, 0 and more", "missing without load, as ambient"},
	FBrakeShare:   {"0 to 1", "missing without brake, as ambient"},
	FRiseBaseline: {"near 0 in health, both ways", "missing without ambient, and until the baseline of this class of speed stands on 5 windows"},
	FPeerDiff:     {"near 0 in health, both ways", "missing with fewer than 2 sound peers in the same window"},
	FPeerZ:        {"near 0 in health, both ways; the spread is never taken under 0.5 K", "missing with fewer than 3 sound peers"},
	FMateDiff:     {"near 0 in health, both ways", "missing without a sound mate in the same window"},
	FHeading:      {"over ambient plus tau x slope", "missing without temperature or ambient"},
	FCompleteness: {"0 to 1; 0.8 and more in a valid window", "never"},
	FSuspectShare: {"0 to 1", "never"},
}

// NumFeatures is how many features a window has.
const NumFeatures = 20

// Features are a window's figures in the order of FeatureList. NaN says that the inputs of a figure were missing.
type Features [NumFeatures]float64

// Positions in Features.
const (
	FKind = iota
	FMean
	FMax
	FMin
	FStd
	FLast
	FSlope
	FShortLong
	FAmbient
	FOverAmbient
	FSpeed
	FLoad
	FBrakeShare
	FRiseBaseline
	FPeerDiff
	FPeerZ
	FMateDiff
	FHeading
	FCompleteness
	FSuspectShare
)

// FeatureList names the features, in order.
var FeatureList = [NumFeatures]Feature{
	FKind:         {"kind_code", "1", "component kind: 0 other, 1 bearing, 2 motor, 3 brake, 4 transformer"},
	FMean:         {"mean_c", "degC", "mean of the cleaned temperatures"},
	FMax:          {"max_c", "degC", "largest cleaned temperature"},
	FMin:          {"min_c", "degC", "smallest cleaned temperature"},
	FStd:          {"std_c", "K", "population standard deviation of the cleaned temperatures"},
	FLast:         {"last_c", "degC", "last cleaned temperature"},
	FSlope:        {"slope_c_per_min", "K/min", "least-squares slope over the window"},
	FShortLong:    {"short_long_c", "K", "mean of the last quarter of the readings minus the mean of all"},
	FAmbient:      {"ambient_mean_c", "degC", "mean ambient temperature; missing without ambient readings"},
	FOverAmbient:  {"over_ambient_c", "K", "mean minus mean ambient; missing without ambient readings"},
	FSpeed:        {"speed_mean_kmh", "km/h", "mean speed; missing without speed readings"},
	FLoad:         {"load_mean_t", "t", "mean load; missing without load readings"},
	FBrakeShare:   {"brake_share", "1", "share of readings with the brake applied; missing without brake readings"},
	FRiseBaseline: {"rise_baseline_c", "K", "rise over the sensor's own baseline at like speed; missing until the baseline is known"},
	FPeerDiff:     {"peer_diff_c", "K", "mean minus the median of the peers' means (same kind, same asset); missing with fewer than 2 peers"},
	FPeerZ:        {"peer_z", "1", "robust z against the peers by median and MAD, MAD floored; missing with fewer than 3 peers"},
	FMateDiff:     {"mate_diff_c", "K", "mean minus the mean of the mate (other end of the axle); missing without a mate's window"},
	FHeading:      {"heading_over_ambient_c", "K", "equilibrium a first-order thermal model implies, over ambient: mean + tau × slope − ambient; missing without ambient"},
	FCompleteness: {"completeness", "1", "readings over expected readings, at most 1"},
	FSuspectShare: {"suspect_share", "1", "share of readings flagged suspect or fail"},
}
