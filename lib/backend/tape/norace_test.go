//go:build !race

package tape

// underRace reports whether the race detector is on.
const underRace = false
