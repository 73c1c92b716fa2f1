package program

// watchParent does nothing: programs refuse to run on Windows.
func watchParent() {}
