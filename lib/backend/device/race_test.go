//go:build race

package device

// underRace says that the race detector is on, with the checks of pointer arithmetic that it brings.
const underRace = true
