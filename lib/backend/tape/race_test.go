//go:build race

package tape

// underRace says that the race detector is on, under which sync.Pool drops things at random.
const underRace = true
