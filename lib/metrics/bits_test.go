package metrics

import (
	"crypto/sha256"
	"fmt"
	"testing"
)

// scoresGolden is the digest of some scores, which must be the same on every processor. If the digest changes,
// published scores change in their last digits.
const scoresGolden = "08a43a0225dd5a22"

// Scores have the same bits on every processor. The command "make bits" repeats this test with fewer vector
// instructions.
func TestScoresGolden(t *testing.T) {
	x, d := goldenData([6]float64{1, 130, 20, 0.5, 1, 0.1})
	y, _ := goldenData([6]float64{2, 110, 20, 0.4, 1.2, 0.1})
	singular, _ := goldenData([6]float64{3, 15, 20, 0.4, 1.2, 0.1})
	a, b := single(x), single(y)
	reference := momentsOf(t, y, d)
	hash := sha256.New()
	add := func(result any, err error) {
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(hash, "%b\n", result) // %b shows every bit of floating-point values
	}
	f, err := FrechetDistance(momentsOf(t, x, d), reference)
	add([]float64{f.Value, f.MeanTerm, f.CovTerm}, err)
	f, err = FrechetDistance(momentsOf(t, singular, d), reference)
	add([]float64{f.Value, f.MeanTerm, f.CovTerm}, err)
	infinity, err := FrechetInfinity(a, reference, d, InfinityOptions{Sizes: 4})
	add([]float64{infinity.Value, infinity.Slope, infinity.Residual}, err)
	jackknife, err := Jackknife(a, reference, d, 5)
	add([]float64{jackknife.StdErr, jackknife.Low, jackknife.High}, err)
	kid, err := KID(a, b, d, KIDOptions{Subsets: 3, Size: 50})
	add([]float64{kid.Mean, kid.Std}, err)
	manifold, err := Manifold(a, b, d, 3)
	add([]float64{manifold.Precision, manifold.Recall, manifold.Density, manifold.Coverage}, err)
	mmd, err := MMD(a, b, d, MMDOptions{})
	add([]float64{mmd.Value, mmd.Bandwidth}, err)
	score, err := InceptionScore(a, d, 2)
	add([]float64{score.Mean, score.Std}, err)
	if got := fmt.Sprintf("%x", hash.Sum(nil)[:8]); got != scoresGolden {
		t.Errorf("digest %s, want %s", got, scoresGolden)
	}
}
