package notary

import (
	"pinfold/internal/fact"
	"pinfold/internal/merkle"
)

// claim is the newest checkpoint of another key of the list.
type claim struct {
	key  string // its name
	size fact.Seq
	root merkle.Hash
}

// verdict says what a tree is worth among the claims.
type verdict struct {
	differ []string // keys that signed another tree
	ahead  []claim  // those of more facts than the tree holds, which cannot be compared yet
	rank   rank
}

// rank says how many stand behind a tree.
type rank int

const (
	undisputed rank = iota // nobody signed another one
	majority               // more signed this one than another
	tied                   // as many, or it is not certain yet
	minority               // more signed another one
)

// judge holds a tree of that size, whose root at each size the function returns, against the claims. The tree counts as one
// that signed it. Of two that differ from it nobody can tell whether they agree, unless they are of one size: they are
// taken to. A rank other than tied is certain: it stays whatever those that are ahead turn out to be.
func judge(size fact.Seq, root func(fact.Seq) (merkle.Hash, error), claims []claim) (v verdict, err error) {
	agree := 1
	others := map[fact.Seq]map[merkle.Hash]int{} // how many signed each root at each size
	for _, c := range claims {
		if c.size > size {
			v.ahead = append(v.ahead, c)
			continue
		}
		own, err := root(c.size)
		if err != nil {
			return v, err
		}
		if own == c.root {
			agree++
			continue
		}
		v.differ = append(v.differ, c.key)
		if others[c.size] == nil {
			others[c.size] = map[merkle.Hash]int{}
		}
		others[c.size][c.root]++
	}
	v.rank = rankOf(agree, largest(others), len(v.ahead))
	return v, nil
}

// largest returns how many may have signed one tree.
func largest(others map[fact.Seq]map[merkle.Hash]int) (sum int) {
	for _, roots := range others {
		most := 0
		for _, n := range roots {
			most = max(most, n)
		}
		sum += most
	}
	return sum
}

func rankOf(agree, differ, unknown int) rank {
	switch {
	case differ == 0:
		return undisputed
	case agree > differ+unknown:
		return majority
	case differ > agree+unknown:
		return minority
	}
	return tied
}
