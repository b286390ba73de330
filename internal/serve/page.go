package serve

import (
	"fmt"
	"strconv"
	"strings"

	"pinfold/internal/fact"
)

const (
	defaultPage   = 50
	maxPage       = 500
	maxNeighbours = 50
)

// PageSize reads the page_size of a request: 0 means 50, the most is 500 (docs/design.md section 9).
func PageSize(asked int32) (int, error) {
	switch {
	case asked == 0:
		return defaultPage, nil
	case asked < 0 || asked > maxPage:
		return 0, Malformed("page_size", fmt.Errorf("%d: want 1 to %d, or 0 for %d", asked, maxPage, defaultPage))
	}
	return int(asked), nil
}

// Neighbours reads how many neighbours a request asks for.
func Neighbours(asked int32) (int, error) {
	if asked < 0 || asked > maxNeighbours {
		return 0, Malformed("neighbours", fmt.Errorf("%d: want 0 to %d", asked, maxNeighbours))
	}
	return int(asked), nil
}

// Page is one page of a longer list, and whether more follows: lists are read by one more than the page holds.
func Page[T any](list []T, size int) (page []T, more bool) {
	if len(list) > size {
		return list[:size], true
	}
	return list, false
}

// PlaceToken returns the page token that stands behind a place of a leaderboard.
func PlaceToken(score uint32, wearer fact.WearerID) string {
	return strconv.FormatUint(uint64(score), 10) + "-" + wearer.String()
}

// ParsePlaceToken reads a page token of a leaderboard; an empty one stands before the first place.
func ParsePlaceToken(token string) (score uint32, wearer fact.WearerID, err error) {
	if token == "" {
		return 0, wearer, nil
	}
	number, text, _ := strings.Cut(token, "-")
	n, err := strconv.ParseUint(number, 10, 32)
	if err == nil {
		wearer, err = fact.ParseWearerID(text)
	}
	if err != nil || n == 0 {
		return 0, wearer, BadToken(token)
	}
	return uint32(n), wearer, nil
}

// BadToken is the error for a page token that no page came with.
func BadToken(token string) error {
	return Malformed("page_token", fmt.Errorf("%.80q: not one that a page came with", token))
}
