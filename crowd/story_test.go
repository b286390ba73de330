package crowd

import "testing"

// TestSameCrowd: a crowd that signs other statements has other pins and wearers, whatever is the same.
func TestSameCrowd(t *testing.T) {
	walked := Synthetic(10, 1, 1)
	walked.Walks = append(walked.Walks, Walk{Steps: []uint16{100}})
	same := New(Config{Contacts: Synthetic(10, 1, 1), Seed: 1})
	if again := New(Config{Contacts: Synthetic(10, 1, 1), Seed: 1}); again.Wearer(0) != same.Wearer(0) || again.phones[0].pin.ID() != same.phones[0].pin.ID() {
		t.Error("the same crowd, made again, has another pin or wearer")
	}
	for name, c := range map[string]Config{
		"seed":     {Contacts: Synthetic(10, 1, 1), Seed: 2},
		"contacts": {Contacts: Synthetic(10, 1, 2), Seed: 1},
		"walks":    {Contacts: walked, Seed: 1},
		"phones":   {Contacts: Synthetic(10, 1, 1), Seed: 1, Phones: RealPhones},
	} {
		if other := New(c); other.Wearer(0) == same.Wearer(0) || other.phones[0].pin.ID() == same.phones[0].pin.ID() {
			t.Errorf("other %s: the same pin or wearer", name)
		}
	}
}
