package ode

import "testing"

func TestLookup(t *testing.T) {
	for _, tab := range tableaux() {
		if got, err := Lookup(tab.Name); err != nil || got != tab {
			t.Errorf("Lookup(%q) = %v, %v, want the method of that name", tab.Name, got, err)
		}
	}
	if _, err := Lookup("rk23"); err == nil {
		t.Error("Lookup of an unknown method succeeded")
	}
}
