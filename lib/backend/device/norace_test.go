//go:build !race

package device

const underRace = false
