package merkle_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"testing"

	"pinfold/internal/fact"
	"pinfold/internal/kv"
	"pinfold/internal/merkle"
	"pinfold/internal/view"
)

// The dumb model: the definitions of RFC 6962, section 2.1, word for word.

// model is D[n].
type model []merkle.Hash

// split returns the largest power of two smaller than n.
func split(n int) int {
	k := 1
	for 2*k < n {
		k *= 2
	}
	return k
}

// root is MTH.
func (d model) root() merkle.Hash {
	switch len(d) {
	case 0:
		return sha256.Sum256(nil)
	case 1:
		return d[0]
	}
	k := split(len(d))
	left, right := d[:k].root(), d[k:].root()
	return sha256.Sum256(slices.Concat([]byte{1}, left[:], right[:]))
}

// path is PATH(m, D[n]); m counts from 0.
func (d model) path(m int) []merkle.Hash {
	if len(d) == 1 {
		return nil
	}
	k := split(len(d))
	if m < k {
		return append(d[:k].path(m), d[k:].root())
	}
	return append(d[k:].path(m-k), d[:k].root())
}

// proof is SUBPROOF(m, D[n], whole); PROOF(m, D[n]) is that with whole.
func (d model) proof(m int, whole bool) []merkle.Hash {
	if m == len(d) {
		if whole {
			return nil
		}
		return []merkle.Hash{d.root()}
	}
	k := split(len(d))
	if m <= k {
		return append(d[:k].proof(m, whole), d[k:].root())
	}
	return append(d[k:].proof(m-k, false), d[:k].root())
}

// leaves returns n different leaf hashes.
func leaves(n int) model {
	d := make(model, n)
	for i := range d {
		d[i] = sha256.Sum256(fmt.Append(nil, i))
	}
	return d
}

// grow returns a store in memory with a tree of these leaves.
func grow(t testing.TB, d model) *view.Memory {
	t.Helper()
	store := view.NewMemory()
	if err := store.Update(func(tx kv.Tx) error { return merkle.Append(tx, d...) }); err != nil {
		t.Fatal(err)
	}
	return store
}

// read runs f on the store.
func read(t testing.TB, store view.Store, f func(r kv.Reader)) {
	t.Helper()
	if err := store.View(func(r view.Reader) error { f(r); return nil }); err != nil {
		t.Fatal(err)
	}
}

// The vectors of Certificate Transparency's own tests of its tree: data, and roots of the first 1 to 8 of them.
var (
	vectorData  = []string{"", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"}
	vectorRoots = []string{
		"6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
		"fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
		"aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
		"d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
		"4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
		"76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
		"ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
		"5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
	}
	vectorPaths = []struct {
		seq, size fact.Seq
		want      []string
	}{
		{1, 1, nil},
		{1, 8, []string{
			"96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
			"5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
			"6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
		}},
		{6, 8, []string{
			"bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
			"ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
			"d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
		}},
		{3, 3, []string{"fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"}},
		{2, 5, []string{
			"6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
			"5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
			"bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
		}},
	}
	vectorProofs = []struct {
		from, to fact.Seq
		want     []string
	}{
		{1, 1, nil},
		{1, 8, []string{
			"96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
			"5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
			"6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
		}},
		{6, 8, []string{
			"0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
			"ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
			"d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
		}},
		{2, 5, []string{
			"5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
			"bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
		}},
	}
)

func vectorLeaves(t *testing.T) model {
	t.Helper()
	d := make(model, len(vectorData))
	for i, text := range vectorData {
		data, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		d[i] = sha256.Sum256(append([]byte{0}, data...))
	}
	return d
}

func hexes(hashes []merkle.Hash) []string {
	var texts []string
	for _, h := range hashes {
		texts = append(texts, hex.EncodeToString(h[:]))
	}
	return texts
}

func TestVectors(t *testing.T) {
	d := vectorLeaves(t)
	var edge merkle.Edge
	if got, want := edge.Root().String(), "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="; got != want {
		t.Errorf("root of nothing is %s, want %s", got, want)
	}
	read(t, grow(t, d), func(r kv.Reader) {
		for i, want := range vectorRoots {
			edge.Add(d[i])
			got, err := merkle.Root(r, fact.Seq(i+1))
			if err != nil || hexes([]merkle.Hash{got})[0] != want || edge.Root() != got {
				t.Errorf("root of %d leaves is %q, %v, want %s", i+1, hexes([]merkle.Hash{got, edge.Root()}), err, want)
			}
		}
		for _, v := range vectorPaths {
			got, err := merkle.Inclusion(r, v.size, v.seq)
			if err != nil || !slices.Equal(hexes(got), v.want) {
				t.Errorf("inclusion of %d in %d is %q, %v, want %q", v.seq, v.size, hexes(got), err, v.want)
			}
		}
		for _, v := range vectorProofs {
			got, err := merkle.Consistency(r, v.from, v.to)
			if err != nil || !slices.Equal(hexes(got), v.want) {
				t.Errorf("consistency of %d with %d is %q, %v, want %q", v.from, v.to, hexes(got), err, v.want)
			}
		}
	})
}
