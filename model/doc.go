// Package model turns a window's features into a probability of failure, a level, an explanation and the state of an
// alert, and it trains the forest that does so.
//
// It promises: the same inputs give the same bits, on any machine and on any number of threads; a score is bounded work
// without allocation; a model file is either exactly what was written or refused with a sentence; a missing feature (NaN)
// always goes right and never makes a rule speak.
//
// It refuses: to score a quarantined window, to use a model whose features differ from the line's in name, unit or order,
// and to train on data with one class. It does no input or output of its own, reads no clock, and no goroutine outlives a
// call. A Forest and a Scorer are immutable: any number of goroutines may use one.
package model
