package ranking

import (
	"bytes"
	"errors"
	"fmt"

	"pinfold/internal/fact"
	"pinfold/internal/kv"
)

// maxFindings bounds what a Checker reports of boards that are broken all over.
const maxFindings = 100

// Checker compares all boards of two buckets with the places that they ought to hold.
type Checker struct {
	r             kv.Reader
	index, counts string
	findings      []error
	places        int
	nodes         map[string]node // as they ought to be
}

// NewChecker returns a Checker of the boards in the two buckets.
func NewChecker(r kv.Reader, index, counts string) *Checker {
	return &Checker{r: r, index: index, counts: counts, nodes: map[string]node{}}
}

// Expect says that the wearer ought to be on the board, with a score that is not 0. Each is said once.
func (c *Checker) Expect(b Board, w fact.WearerID, score uint32) {
	c.places++
	k := b.indexKey(keyOf(score, w))
	c.want(c.r.Get(c.index, k) != nil, "%s %x: %v is not there with a score of %d", c.index, b.Prefix, w, score)
	s := scoreBytes(score)
	for level := range s {
		k := string(b.nodeKey(s[:level]))
		if c.nodes[k] == nil {
			c.nodes[k] = make(node, nodeSize)
		}
		c.nodes[k].add(s[level], +1)
	}
}

// Err returns what does not hold, or nil. Everybody who ought to be on a board must have been named by Expect.
func (c *Checker) Err() error {
	places := 0
	for range c.r.Scan(c.index, nil, nil) {
		places++
	}
	c.want(places == c.places, "%s: holds %d places, want %d", c.index, places, c.places)
	nodes := 0
	for k, n := range c.r.Scan(c.counts, nil, nil) {
		nodes++
		c.want(bytes.Equal(n, c.nodes[string(k)]), "%s: node %x does not count those who ought to be there", c.counts, k)
	}
	c.want(nodes == len(c.nodes), "%s: holds %d nodes, want %d", c.counts, nodes, len(c.nodes))
	return errors.Join(c.findings...)
}

func (c *Checker) want(holds bool, format string, args ...any) {
	if !holds && len(c.findings) < maxFindings {
		c.findings = append(c.findings, fmt.Errorf(format, args...))
	}
}
