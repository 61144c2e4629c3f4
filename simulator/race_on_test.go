//go:build race

package simulator_test

// raced says that the race detector is on: everything takes several times as long.
const raced = true
