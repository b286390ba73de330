package rewards

import (
	"pinfold/internal/fact"
	"pinfold/internal/kv"
	"pinfold/internal/ranking"
	"pinfold/internal/roster"
)

// board is the ranking of the wearers who have a friend and are not erased. The score is the friend count.
var board = ranking.Board{Index: ranks, Counts: counts}

// Place is one wearer's place in the ranking.
type Place = ranking.Place

// Leaderboard returns at most limit places, those that follow after: Score and Wearer of the last place of the page
// before, whether or not that wearer is still there. The zero Place stands before the first.
func Leaderboard(r kv.Reader, after Place, limit int) []Place { return board.Page(r, after, limit) }

// Rank returns a wearer's place; false if the wearer is not ranked.
func Rank(r kv.Reader, w fact.WearerID) (Place, bool) {
	friends := recordOf(r, w).friends
	if friends == 0 || roster.Erased(r, w) {
		return Place{}, false
	}
	return Place{Rank: board.Rank(r, friends), Score: friends, Wearer: w}, true
}

// Neighbours returns the wearer's place with at most n places before it and at most n after it, in the order of the
// ranking; none if the wearer is not ranked.
func Neighbours(r kv.Reader, w fact.WearerID, n int) []Place {
	own, ok := Rank(r, w)
	if !ok {
		return nil
	}
	return board.Around(r, w, own.Score, n)
}
