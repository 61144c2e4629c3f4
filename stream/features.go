package stream

// Feature is one column of a window's features: its name, its unit and what it means. The order of FeatureList is the order of
// Features, of telemetry_window's columns and of a model's inputs.
type Feature struct {
	Name string
	Unit string
	Doc  string
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
