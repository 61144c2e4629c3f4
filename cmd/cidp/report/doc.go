// Package report says how well failures were foreseen: figures, and one HTML page made of them that needs nothing from outside itself. It is pure: the same input gives the same
// bytes, and no clock is read.
//
//	Input (rows with scores and labels, warnings, failures) ─▶ Make ─▶ Report ─┬─ JSON, as it is
//	                                                                          └─ WriteHTML: text, tables, plots as inline SVG
//
// Two kinds of figures stand side by side and must not be mixed up. Those of rows say how scores rank and fit windows: a window is positive when its component fails within the
// horizon after it. Those of warnings say what people would have lived through: alerts as they are raised, held against failures by model.Match.
//
// # JSON
//
// The document is a Report. Times are epoch milliseconds (…_ms), leads minutes (…_min), shares and probabilities 0 to 1, false alarms per 1,000 asset-hours, or per 1,000 negative rows
// where rows have no event time (Data.Unit says which). What could not be measured is left out, not zero. Names are added to, never changed.
package report
