package artifact

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"vapo/lib/cachekey"
	"vapo/lib/objectstore"
)

// A series consists of the actions that differ only in length, such as trainings of 1,000 and of 2,000 steps. The
// longer action may start from the result of the shorter one. The index under series/ only locates these actions.
// Losing it costs time but no results, because all its information is in the records.

// lengthDigits is the width to which lengths are padded with zeros, so that keys sort by length.
const lengthDigits = 19

func seriesPrefix(series string) (string, error) {
	if !cachekey.ValidKey(series) {
		return "", fmt.Errorf("%q is not the key of a series", series)
	}
	return "series/" + series + "/", nil
}

// AddToSeries adds an action to its series. The action's record must already be published.
func (s *Store) AddToSeries(ctx context.Context, series string, length int64, key string) error {
	prefix, err := seriesPrefix(series)
	if err != nil {
		return err
	}
	if length < 0 || !cachekey.ValidKey(key) {
		return fmt.Errorf("series %s: length %d or action key %q is invalid", series, length, key)
	}
	name := fmt.Sprintf("%s%0*d", prefix, lengthDigits, length)
	return s.put(ctx, name, []byte(key+"\n"), objectstore.PutOptions{})
}

// LongestBelow returns the record and the length of the longest action in a series that is shorter than length and
// whose outputs all exist. It fails with ErrNotFound if there is no such action.
func (s *Store) LongestBelow(ctx context.Context, series string, length int64) (*Record, int64, error) {
	prefix, err := seriesPrefix(series)
	if err != nil {
		return nil, 0, err
	}
	var shorter []int64
	for info, err := range s.objects.List(ctx, prefix) {
		if err != nil {
			return nil, 0, err
		}
		if n, err := strconv.ParseInt(strings.TrimPrefix(info.Key, prefix), 10, 64); err == nil && n < length {
			shorter = append(shorter, n)
		}
	}
	for i := len(shorter) - 1; i >= 0; i-- { // shorter is in ascending order
		data, _, err := s.readDocument(ctx, fmt.Sprintf("%s%0*d", prefix, lengthDigits, shorter[i]))
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, 0, err
		}
		rec, err := s.Record(ctx, strings.TrimSuffix(string(data), "\n"))
		if err != nil { // the record is missing or damaged; try a shorter one
			if ctx.Err() != nil {
				return nil, 0, err
			}
			continue
		}
		if ok, err := s.stands(ctx, rec, rec); err != nil {
			return nil, 0, err
		} else if ok {
			return rec, shorter[i], nil
		}
	}
	return nil, 0, fmt.Errorf("series %s below %d: %w", series, length, ErrNotFound)
}
