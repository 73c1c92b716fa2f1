package main

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"vapo/lib/objectstore/embedded"
	"vapo/lib/objectstore/objectstoretest"
)

// TestManyRunners lets 16 runners in their own directories race for the same steps, in rounds with new steps, on both
// servers. All must succeed and agree, and together do the work of hardly more than one.
func TestManyRunners(t *testing.T) {
	t.Parallel()
	for name, env := range map[string]func(testing.TB) embedded.Env{
		"embedded": objectstoretest.EmbeddedEnv, "minio": objectstoretest.MinIOEnv,
	} {
		t.Run(name, func(t *testing.T) {
			const runners = 16
			environ := env(t).Environ()
			places := make([]*workplace, runners)
			for i := range places {
				places[i] = newWorkplace(t)
				places[i].env = append(places[i].env, environ...)
				places[i].write("chain.yaml", chain)
			}
			rounds := objectstoretest.Soak(t, 2)
			for round := range rounds {
				results := make(chan result, runners)
				for _, w := range places {
					go func() { results <- w.run("run", "chain.yaml", "--set", fmt.Sprintf("one.salt=%d", round)) }()
				}
				for range runners {
					if res := <-results; res.code != 0 || strings.Contains(res.stderr, "warning") {
						t.Errorf("round %d: exit code %d\n%s", round, res.code, res.stderr)
					}
				}
				if a, b := places[0].digests(), places[1].digests(); !maps.Equal(a, b) {
					t.Errorf("round %d: digests differ:\n%v\n%v", round, a, b)
				}
			}
			steps := 3 * rounds
			if n := strings.Count(places[0].must("ls", "actions"), "toy/1"); n != steps {
				t.Errorf("%d steps have %d records", steps, n)
			}
			started := 0
			for _, n := range executions(t, places...) {
				started += n
			}
			t.Logf("%d runs of %d steps started %d stages", runners*rounds, steps, started)
			if started*10 > steps*11 {
				t.Errorf("%d stages were started for %d steps", started, steps)
			}
		})
	}
}
