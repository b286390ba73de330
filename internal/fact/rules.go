package fact

import "time"

// Rules are the rules of one Games as the log holds them. Package rules reads, checks and applies them.
type Rules struct {
	Name                 string        // of the Games, for people
	Sports               []Sport       // in the order in which their backgrounds are unlocked
	FriendsPerBackground uint32        // every so many friends unlock one background
	StarterBackgrounds   uint32        // unlocked when a wearer's first pin is paired
	Medals               Thresholds    // friends that each medal takes
	Zone                 []ZoneOffset  // local time, ascending by From; the first entry also holds for all slots before it
	StepGoal             uint32        // steps in a local day
	PendingFor           time.Duration // how long a half waits for its mate
	Opens                UnixMilli     // taps and steps are taken from here; 0 = always
	Closes               UnixMilli     // to here and the grace; 0 = always
	UploadGrace          time.Duration // after Closes, for what was tapped or walked before and is carried in late
}

// Sport is one background's subject: a stable id and its names for people.
type Sport struct {
	ID       string
	English  string
	Japanese string
	French   string
}

// Thresholds are the numbers of friends, at least, that each medal takes.
type Thresholds struct {
	Bronze uint32
	Silver uint32
	Gold   uint32
}

// ZoneOffset says that from slot From on, local time is ahead of UTC by so many quarter hours (negative: behind).
type ZoneOffset struct {
	From     Slot
	Quarters int8
}
