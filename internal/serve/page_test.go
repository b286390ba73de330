package serve_test

import (
	"math"
	"slices"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"pgregory.net/rapid"

	"pinfold/internal/fact"
	"pinfold/internal/serve"
)

func TestPageSize(t *testing.T) {
	for asked, want := range map[int32]int{0: 50, 1: 1, 50: 50, 499: 499, 500: 500} {
		if got, err := serve.PageSize(asked); err != nil || got != want {
			t.Errorf("%d: got %d, %v, want %d", asked, got, err, want)
		}
	}
	for _, asked := range []int32{-1, 501, math.MinInt32, math.MaxInt32} {
		_, err := serve.PageSize(asked)
		wantMalformed(t, err, "page_size: ")
	}
}

func TestNeighbours(t *testing.T) {
	for _, asked := range []int32{0, 1, 50} {
		if got, err := serve.Neighbours(asked); err != nil || got != int(asked) {
			t.Errorf("%d: got %d, %v", asked, got, err)
		}
	}
	for _, asked := range []int32{-1, 51, math.MinInt32, math.MaxInt32} {
		_, err := serve.Neighbours(asked)
		wantMalformed(t, err, "neighbours: ")
	}
}

func TestPage(t *testing.T) {
	for n, want := range map[int]struct {
		page []int
		more bool
	}{0: {nil, false}, 2: {[]int{0, 1}, false}, 3: {[]int{0, 1, 2}, false}, 4: {[]int{0, 1, 2}, true}} {
		var list []int
		for i := range n {
			list = append(list, i)
		}
		if page, more := serve.Page(list, 3); !slices.Equal(page, want.page) || more != want.more {
			t.Errorf("%d entries: got %v, %t, want %v, %t", n, page, more, want.page, want.more)
		}
	}
}

// TestPlaceToken: a token is read as it was written, and nothing else is a token.
func TestPlaceToken(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		score := rapid.Uint32Min(1).Draw(t, "score")
		wearer := fact.WearerID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "wearer"))
		gotScore, gotWearer, err := serve.ParsePlaceToken(serve.PlaceToken(score, wearer))
		if err != nil || gotScore != score || gotWearer != wearer {
			t.Fatalf("got %d, %v, %v, want %d, %v", gotScore, gotWearer, err, score, wearer)
		}
	})
	if score, wearer, err := serve.ParsePlaceToken(""); score != 0 || wearer != (fact.WearerID{}) || err != nil {
		t.Errorf("the first page: got %d, %v, %v", score, wearer, err)
	}
	wearer := fact.WearerID{1}.String()
	for _, token := range []string{
		"next", "-", "1", "1-", "-" + wearer, "0-" + wearer, "-1-" + wearer, "4294967296-" + wearer, "1-" + wearer + "a",
		"1-" + wearer[1:], "1--" + wearer, "x-" + wearer,
	} {
		_, _, err := serve.ParsePlaceToken(token)
		wantMalformed(t, err, "page_token: ")
	}
}

func wantMalformed(t *testing.T, err error, begin string) {
	t.Helper()
	s := status.Convert(err)
	if s.Code() != codes.InvalidArgument || serve.Reason(err) != "MALFORMED" || len(s.Message()) < len("MALFORMED: "+begin) ||
		s.Message()[:len("MALFORMED: "+begin)] != "MALFORMED: "+begin {
		t.Errorf("got %v, want MALFORMED: %s", err, begin)
	}
}
