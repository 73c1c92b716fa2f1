package slurm

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"

	"vapo/lib/artifact"
	"vapo/lib/program"
)

// Jobs may wait for days, and somebody may build other programs meanwhile. Programs that are shipped with the jobs stay
// as they were. They lie on the file system that all nodes share, like the other files of the jobs. The store would be
// no better place: a collection would have to know which programs jobs in the queue still need.
//
// A run has its programs as links to copies named by their digests, so runs with equal programs take no more space.

// ship copies the programs for the jobs with the given directory, and returns the directory of the copies.
func (s *Slurm) ship(dir string) (string, error) {
	bin := filepath.Join(dir, "bin")
	if err := errors.Join(os.MkdirAll(bin, 0o755), os.MkdirAll(s.Copies, 0o755)); err != nil {
		return "", err
	}
	var used []string
	for _, path := range s.Ship {
		digest, _, err := artifact.FileDigest(path)
		if err != nil {
			return "", err
		}
		kept := filepath.Join(s.Copies, digest.Hex())
		used = append(used, digest.Hex())
		if got, _, err := artifact.FileDigest(kept); err != nil || got != digest {
			if err := copyProgram(kept, path); err != nil {
				return "", err
			}
		}
		target := filepath.Join(bin, filepath.Base(path))
		if err := os.Link(kept, target); err != nil && !errors.Is(err, os.ErrExist) {
			if err := copyProgram(target, path); err != nil { // a file system without links
				return "", err
			}
		}
	}
	entries, err := os.ReadDir(s.Copies)
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		if !slices.Contains(used, e.Name()) {
			_ = os.Remove(filepath.Join(s.Copies, e.Name())) // it only takes up space; other runs have their own links
		}
	}
	return bin, nil
}

func copyProgram(target, path string) error {
	err := program.WriteFile(target, func(w io.Writer) error {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = io.Copy(w, f)
		return err
	})
	return errors.Join(err, os.Chmod(target, 0o755))
}
