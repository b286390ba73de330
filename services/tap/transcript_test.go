package tap

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pinfold/internal/fact"
	"pinfold/internal/statement"
	"pinfold/internal/view"
)

var rewrite = flag.Bool("rewrite", false, "rewrite testdata/*.txt with what the core does now")

// TestTranscripts replays testdata/*.txt. A line that begins with a letter is a command, described at its method of
// script; the indented lines below it are what came of it; all else is prose. With -rewrite the indented lines are
// written anew: commit them only if you understand why they changed, and remember that a released fold never does.
func TestTranscripts(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			got := replay(t, string(want))
			if *rewrite {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			compareLines(t, got, string(want))
		})
	}
}

func compareLines(t *testing.T, got, want string) {
	t.Helper()
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range max(len(g), len(w)) {
		switch {
		case i >= len(g):
			t.Fatalf("line %d: want %q, got the end", i+1, w[i])
		case i >= len(w):
			t.Fatalf("line %d: got %q, want the end", i+1, g[i])
		case g[i] != w[i]:
			t.Fatalf("line %d: got\n%s\nwant\n%s", i+1, g[i], w[i])
		}
	}
}

// replay runs the commands of a transcript and returns it with what came of them.
func replay(t *testing.T, text string) string {
	s := newScript(t)
	var out strings.Builder
	for line := range strings.Lines(text) {
		if line[0] == ' ' {
			continue
		}
		out.WriteString(line)
		if line[0] < 'a' || line[0] > 'z' {
			continue
		}
		for answer := range strings.Lines(s.run(strings.TrimSpace(line))) {
			out.WriteString("    " + strings.TrimSuffix(answer, "\n") + "\n")
		}
	}
	return out.String()
}

// script is a world whose pins, wearers and taps have names.
type script struct {
	*world
	t        *testing.T
	line     string
	pins     map[fact.PinID]string
	taps     map[fact.TapID]string
	counters map[string]fact.Counter // the last one of each pin,
	signed   map[string]fact.Counter // and that of each half, by author and tap
	lonely   int
}

func newScript(t *testing.T) *script {
	return &script{
		world: newWorld(t), t: t, pins: map[fact.PinID]string{}, taps: map[fact.TapID]string{},
		counters: map[string]fact.Counter{}, signed: map[string]fact.Counter{},
	}
}

// run runs one command, NAME ARG... KEY=VALUE..., and verifies the view after it.
func (s *script) run(line string) string {
	s.line = line
	words := strings.Fields(line)
	var args []string
	options := map[string]string{}
	for _, word := range words[1:] {
		if key, value, ok := strings.Cut(word, "="); ok {
			options[key] = value
		} else {
			args = append(args, word)
		}
	}
	commands := map[string]func(args []string, options map[string]string) string{
		"rules": s.rules, "time": s.time, "correct": s.correct, "arrive": s.arrive, "register": s.register, "pair": s.pair, "retire": s.retire,
		"erase": s.erase, "half": s.half, "lonely": s.lonelyHalves, "unfriend": s.unfriend, "block": s.block,
		"unblock": s.unblock, "revoke": s.revoke, "friends": s.friends, "friendship": s.friendship, "totals": s.printTotals,
		"records": s.records, "between": s.between,
	}
	command := commands[words[0]]
	if command == nil {
		s.t.Fatalf("%s: no such command", line)
	}
	answer := command(args, options)
	s.check()
	return answer
}

// rules [pending=14d] [opens=SPAN] [closes=SPAN] [grace=SPAN]: adopts rules. Instants are spans since the epoch.
func (s *script) rules(_ []string, options map[string]string) string {
	r := fact.Rules{PendingFor: 14 * 24 * time.Hour}
	for key, value := range options {
		span := s.span(value)
		switch key {
		case "pending":
			r.PendingFor = span
		case "opens":
			r.Opens = fact.UnixMilli(0).Add(span)
		case "closes":
			r.Closes = fact.UnixMilli(0).Add(span)
		case "grace":
			r.UploadGrace = span
		}
	}
	return s.append(fact.RulesAdopted{Rules: r})
}

// time SPAN [stored=SPAN]: a gateway's clock shows so long after the epoch, and the log's the same or another.
func (s *script) time(args []string, options map[string]string) string {
	t := s.instant(args[0])
	return s.append(s.stored(fact.TimePassed{Time: t}, t, options))
}

// correct SPAN [stored=SPAN]: an operator sets the time. The log's clock shows the same or another.
func (s *script) correct(args []string, options map[string]string) string {
	t := s.instant(args[0])
	return s.append(s.stored(fact.TimeCorrected{Time: t}, t, options))
}

func (s *script) stored(f fact.Fact, at fact.UnixMilli, options map[string]string) fact.Fact {
	if text := options["stored"]; text != "" {
		at = s.instant(text)
	}
	return storedFact{f, at}
}

func (s *script) instant(text string) fact.UnixMilli { return fact.UnixMilli(0).Add(s.span(text)) }

// arrive NAME...: registers a pin for each and pairs it with a wearer of the same name.
func (s *script) arrive(args []string, _ map[string]string) string {
	var facts []fact.Fact
	for _, name := range args {
		facts = append(facts, registered(s.pin(name)), paired(name, name))
	}
	return s.append(facts...)
}

// register PIN...
func (s *script) register(args []string, _ map[string]string) string {
	var facts []fact.Fact
	for _, name := range args {
		facts = append(facts, registered(s.pin(name)))
	}
	return s.append(facts...)
}

// pair PIN WEARER
func (s *script) pair(args []string, _ map[string]string) string {
	return s.append(paired(args[0], args[1]))
}

// retire PIN
func (s *script) retire(args []string, _ map[string]string) string {
	return s.append(fact.PinRetired{Pin: pinOf(args[0]), Reason: fact.RetiredLost})
}

// erase WEARER
func (s *script) erase(args []string, _ map[string]string) string {
	return s.append(fact.WearerErased{Wearer: wearerOf(args[0])})
}

// half AUTHOR PEER TAP [counter=N]: the author's half of the tap. A new one takes the author's next counter.
func (s *script) half(args []string, options map[string]string) string {
	author, peer, tap := s.pin(args[0]), s.pin(args[1]), args[2]
	counter, repeated := s.signed[author+" "+tap]
	if !repeated {
		counter = s.counters[author] + 1
	}
	if options["counter"] != "" {
		counter = s.counter(options)
	}
	s.signed[author+" "+tap] = counter
	s.counters[author] = max(counter, s.counters[author])
	return s.append(reported(author, peer, tap, counter))
}

// lonely N AUTHOR PEER: so many halves of the author, each of its own tap.
func (s *script) lonelyHalves(args []string, _ map[string]string) string {
	var facts []fact.Fact
	for range s.number(args[0]) {
		s.lonely++
		facts = append(facts, reported(s.pin(args[1]), s.pin(args[2]), fmt.Sprint("lonely", s.lonely), 1))
	}
	return s.append(facts...)
}

// unfriend WEARER FRIENDSHIP [pin=PIN] counter=N: by the pin of the wearer's name, if no other is given.
func (s *script) unfriend(args []string, options map[string]string) string {
	return s.append(fact.Unfriended{
		Wearer: wearerOf(args[0]), Pin: ownPin(args[0], options),
		Counter: s.counter(options), Friendship: s.cause(args[1]),
	})
}

// block WEARER OTHER [pin=PIN] [after=N] counter=N: it follows what it has to, if it is not said what else.
func (s *script) block(args []string, options map[string]string) string {
	return s.append(fact.Blocked{
		Wearer: wearerOf(args[0]), Pin: ownPin(args[0], options),
		Counter: s.counter(options), Other: wearerOf(args[1]), After: s.after(args, options),
	})
}

// unblock WEARER OTHER [after=N]
func (s *script) unblock(args []string, options map[string]string) string {
	return s.append(fact.Unblocked{Wearer: wearerOf(args[0]), Other: wearerOf(args[1]), After: s.after(args, options)})
}

func (s *script) after(args []string, options map[string]string) fact.Seq {
	if text := options["after"]; text != "" {
		return fact.Seq(s.number(text))
	}
	return s.lastBlock(wearerOf(args[0]), wearerOf(args[1]))
}

// revoke FRIENDSHIP
func (s *script) revoke(args []string, _ map[string]string) string {
	return s.append(fact.FriendshipRevoked{Friendship: s.cause(args[0]), Reason: fact.RevokedFraud})
}

// friends WEARER [after=FRIENDSHIP] [limit=N]: a page of the list, newest first, and the count.
func (s *script) friends(args []string, options map[string]string) string {
	after, limit := fact.Seq(0), 50
	if text := options["after"]; text != "" {
		after = s.cause(text)
	}
	if text := options["limit"]; text != "" {
		limit = s.number(text)
	}
	var out strings.Builder
	s.view(func(r view.Reader) {
		for _, f := range Friends(r, wearerOf(args[0]), after, limit) {
			fmt.Fprintf(&out, "%s by %v, ", nameOf(f.Wearer), f.Friendship)
		}
		fmt.Fprintf(&out, "%d in all", FriendCount(r, wearerOf(args[0])))
	})
	return out.String()
}

// friendship CAUSE
func (s *script) friendship(args []string, _ map[string]string) string {
	cause := s.cause(args[0])
	var f Friendship
	var formed bool
	s.view(func(r view.Reader) { f, formed = FriendshipByCause(r, cause) })
	if !formed {
		return "none"
	}
	text := fmt.Sprintf("%s+%s by tap %s, halves %v and %v", nameOf(f.Lo), nameOf(f.Hi), s.taps[f.Tap], f.Mate, f.Cause)
	if f.Current() {
		return text + ", current"
	}
	return fmt.Sprintf("%s, %v at %v", text, f.Ending, f.Ended)
}

// totals: the outcomes of all halves, and the friendships.
func (s *script) printTotals([]string, map[string]string) string {
	t := s.totals()
	return fmt.Sprintf("%d halves: %s\n%d friendships of %d formed", t.Halves,
		strings.Join(outcomesSince(Tally{}, t, "%d %s"), ", "), t.Friendships, t.FriendshipsFormed)
}

// records: what is kept of halves, in the order in which it falls due.
func (s *script) records([]string, map[string]string) string {
	var out strings.Builder
	s.view(func(r view.Reader) {
		for _, k := range r.Scan(bucketDue, nil, nil) {
			h := decodeHalf(k, r.Get(bucketHalf, k))
			state := "done"
			if h.pending {
				state = "pending"
			}
			e := getEras(r).at(h.seq)
			until := "until " + spanText(min(h.deadline, e.limit))
			if h.deadline <= e.dead {
				until = "overdue for good"
			}
			fmt.Fprintf(&out, "%v %s's of %s: %s, %s\n", h.seq, s.pins[h.author], s.taps[h.tap], state, until)
		}
	})
	if out.Len() == 0 {
		return "none"
	}
	return out.String()
}

// between WEARER WEARER: what the two are to each other.
func (s *script) between(args []string, _ map[string]string) string {
	var p pair
	s.view(func(r view.Reader) { p = getPair(r, wearerOf(args[0]), wearerOf(args[1])) })
	text := []string{[]string{"apart", "friends", "revoked"}[p.standing]}
	if p.cause != 0 {
		text[0] += fmt.Sprintf(" (%v)", p.cause)
	}
	for _, w := range []fact.WearerID{p.lo, p.hi} {
		by := p.of(w)
		if by.blocked {
			text = append(text, fmt.Sprintf("blocked by %s (%v)", nameOf(w), by.block))
		}
		if by.last != 0 {
			text = append(text, fmt.Sprintf("%s's command %v", nameOf(w), by.last))
		}
		var marks []string // in the order of names: that of ids says nothing
		for _, m := range by.marks {
			marks = append(marks, fmt.Sprintf(", mark %s %d", s.pins[m.pin], m.counter))
		}
		slices.Sort(marks)
		text[len(text)-1] += strings.Join(marks, "")
	}
	return strings.Join(text, "; ")
}

// append folds the facts and tells their sequences, the changes in outcomes, and what was derived.
func (s *script) append(facts ...fact.Fact) string {
	before, was := digestOf(s.t, s.store), s.totals()
	from := s.seq + 1
	var derived []fact.Fact
	counter := ""
	for _, f := range facts {
		if h, ok := f.(fact.HalfReported); ok {
			s.name(h)
			counter = fmt.Sprintf("counter %d: ", h.Half.Counter)
		}
		derived = append(derived, s.fold(f)...)
	}
	head := fmt.Sprint(from)
	if s.seq > from {
		head += fmt.Sprintf("..%v", s.seq)
		counter = ""
	}
	head = strings.TrimSpace(head + " " + counter + strings.Join(outcomesSince(was, s.totals(), "%+d %s"), ", "))
	if digestOf(s.t, s.store) == before && len(derived) == 0 {
		head += " no effect"
	}
	return head + "\n" + s.describe(derived)
}

// name takes note of the half's names, to print its ids by.
func (s *script) name(h fact.HalfReported) {
	tap := "a lonely tap"
	if words := strings.Fields(s.line); words[0] == "half" {
		tap = words[3]
	}
	s.taps[statement.TapID(h.Half)] = tap
}

// describe tells derived facts, one to a line. Refusals of halves in a row share one.
func (s *script) describe(derived []fact.Fact) string {
	var out strings.Builder
	for i := 0; i < len(derived); i++ {
		switch d := derived[i].(type) {
		case fact.FriendshipFormed:
			fmt.Fprintf(&out, "FriendshipFormed %s+%s, tap %s, mate %v\n", nameOf(d.Lo), nameOf(d.Hi), s.taps[d.Tap], d.Mate)
		case fact.FriendshipEnded:
			fmt.Fprintf(&out, "FriendshipEnded %s+%s, friendship %v, %v\n", nameOf(d.Lo), nameOf(d.Hi), d.Friendship, d.Ending)
		case fact.HalfRefused:
			n := 1
			for i+n < len(derived) && reflect.DeepEqual(derived[i+n], fact.HalfRefused{Half: d.Half + fact.Seq(n), Refusal: d.Refusal}) {
				n++
			}
			if i += n - 1; n > 2 {
				fmt.Fprintf(&out, "HalfRefused %v..%v %v, %d facts\n", d.Half, d.Half+fact.Seq(n-1), d.Refusal, n)
			} else {
				for j := range fact.Seq(n) {
					fmt.Fprintf(&out, "HalfRefused %v %v\n", d.Half+j, d.Refusal)
				}
			}
		}
	}
	return out.String()
}

// outcomesSince tells in the format which outcomes changed by how many.
func outcomesSince(was, is Tally, format string) []string {
	var changes []string
	change := func(name string, was, is uint64) {
		if is != was {
			changes = append(changes, fmt.Sprintf(format, int64(is-was), name))
		}
	}
	change("matched", was.Matched, is.Matched)
	change("already friends", was.AlreadyFriends, is.AlreadyFriends)
	change("duplicate", was.Duplicate, is.Duplicate)
	change("expired", was.Expired, is.Expired)
	change("pending", was.Pending, is.Pending)
	for _, r := range fact.Refusals()[:len(was.Refused)-1] {
		change(r.String(), was.Refused[r], is.Refused[r])
	}
	return changes
}

func (s *script) pin(name string) string {
	s.pins[pinOf(name)] = name
	return name
}

func ownPin(wearer string, options map[string]string) fact.PinID {
	if pin := options["pin"]; pin != "" {
		return pinOf(pin)
	}
	return pinOf(wearer)
}

func nameOf(w fact.WearerID) string { return strings.TrimRight(string(w[:]), "\x00") }

// cause reads a friendship: the sequence of its cause, or anna+ben for the last one of the two.
func (s *script) cause(text string) fact.Seq {
	one, other, ok := strings.Cut(text, "+")
	if !ok {
		return fact.Seq(s.number(text))
	}
	var p pair
	s.view(func(r view.Reader) { p = getPair(r, wearerOf(one), wearerOf(other)) })
	return p.cause
}

func (s *script) number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		s.t.Fatalf("%s: %v", s.line, err)
	}
	return n
}

func (s *script) counter(options map[string]string) fact.Counter {
	return fact.Counter(s.number(options["counter"]))
}

// span reads a duration, whose largest unit may be days: 14d, 13d23h59m.
func (s *script) span(text string) time.Duration {
	days, rest, ok := strings.Cut(text, "d")
	if !ok {
		days, rest = "0", text
	}
	var d time.Duration
	if rest != "" {
		var err error
		if d, err = time.ParseDuration(rest); err != nil {
			s.t.Fatalf("%s: %v", s.line, err)
		}
	}
	return d + time.Duration(s.number(days))*24*time.Hour
}

func spanText(t fact.UnixMilli) string {
	d := time.Duration(t) * time.Millisecond
	days := d / (24 * time.Hour)
	return fmt.Sprintf("%dd%v", days, d-days*24*time.Hour)
}
