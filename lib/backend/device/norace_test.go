//go:build !race

package device

// underRace reports whether the race detector is on.
const underRace = false
