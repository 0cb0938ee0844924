//go:build race

package sinktest

// Raced says that the race detector is on, which takes several times the memory.
const Raced = true
