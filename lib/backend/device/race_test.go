//go:build race

package device

// underRace reports whether the race detector is on, which also checks pointer arithmetic.
const underRace = true
