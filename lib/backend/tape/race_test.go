//go:build race

package tape

// underRace reports whether the race detector is on, under which sync.Pool drops items at random.
const underRace = true
