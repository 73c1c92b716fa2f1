package artifact

import "time"

// SetLeaseTimes makes leases faster for a test, and returns a function that undoes this.
func SetLeaseTimes(beat, expiry, poll time.Duration) (restore func()) {
	was := []time.Duration{leaseBeat, leaseExpiry, leasePoll}
	leaseBeat, leaseExpiry, leasePoll = beat, expiry, poll
	return func() { leaseBeat, leaseExpiry, leasePoll = was[0], was[1], was[2] }
}

// SetRenewAge changes the age from which objects are written again, and returns a function that undoes this.
func SetRenewAge(d time.Duration) (restore func()) {
	was := renewAge
	renewAge = d
	return func() { renewAge = was }
}

// ContentsOf returns contents that mention n blobs.
func ContentsOf(n int, digest func(i int) Digest) *Contents {
	c := &Contents{blobs: map[sum]uint32{}}
	for i := range n {
		c.number(nil, digest(i))
	}
	return c
}
