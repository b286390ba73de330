package server

import "sync"

// recent remembers at least the last size entries that were put or got, and at most twice as many. It holds two
// generations: when the younger one is full, the older one is forgotten.
type recent[K comparable, V any] struct {
	size         int
	mu           sync.Mutex
	young, older map[K]V
}

func newRecent[K comparable, V any](size int) *recent[K, V] {
	return &recent[K, V]{size: size, young: make(map[K]V), older: make(map[K]V)}
}

func (r *recent[K, V]) get(key K) (V, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.find(key)
}

func (r *recent[K, V]) put(key K, value V) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.set(key, value)
}

// getOrPut returns the value of the key, which make makes if there is none.
func (r *recent[K, V]) getOrPut(key K, make func() V) V {
	r.mu.Lock()
	defer r.mu.Unlock()
	v, ok := r.find(key)
	if !ok {
		v = make()
		r.set(key, v)
	}
	return v
}

func (r *recent[K, V]) find(key K) (V, bool) {
	if v, ok := r.young[key]; ok {
		return v, true
	}
	v, ok := r.older[key]
	if ok {
		r.set(key, v)
	}
	return v, ok
}

func (r *recent[K, V]) set(key K, value V) {
	if len(r.young) >= r.size {
		r.older, r.young = r.young, make(map[K]V, r.size)
	}
	r.young[key] = value
}
