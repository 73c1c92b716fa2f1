//go:build !amd64

package linalg

import "testing"

func eachWidth(t *testing.T, test func(t *testing.T)) { t.Run("scalar", test) }
