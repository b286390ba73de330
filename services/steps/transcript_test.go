package steps

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pinfold/internal/fact"
	"pinfold/internal/rules"
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
	s := &script{world: newWorld(t), t: t}
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

// script is a world that takes commands. A day is written as a date, an instant as 2021-07-24T00:00+09:00.
type script struct {
	*world
	t    *testing.T
	line string
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
		"rules": s.rules, "time": s.time, "arrive": s.arrive, "register": s.register, "pair": s.pair, "retire": s.retire,
		"erase": s.erase, "steps": s.steps, "again": s.again, "day": s.day, "days": s.days, "slots": s.slots,
		"today": s.today, "leaderboard": s.leaderboard, "rank": s.rank, "neighbours": s.neighbours, "totals": s.printTotals,
	}
	command := commands[words[0]]
	if command == nil {
		s.t.Fatalf("%s: no such command", line)
	}
	answer := command(args, options)
	s.check()
	return answer
}

// rules [goal=10000] [zone=Asia/Tokyo] [opens=INSTANT] [closes=INSTANT] [grace=DURATION]: adopts rules. A zone may also
// be a table, FROM:QUARTERS,FROM:QUARTERS...
func (s *script) rules(_ []string, options map[string]string) string {
	goal, zone, window := tokyo.StepGoal, tokyo.Zone, rules.Window{}
	for key, text := range options {
		switch key {
		case "goal":
			goal = uint32(s.number(text))
		case "zone":
			zone = s.zone(text)
		case "opens":
			window.Opens = s.instant(text)
		case "closes":
			window.Closes = s.instant(text)
		case "grace":
			grace, err := time.ParseDuration(text)
			if err != nil {
				s.t.Fatalf("%s: %v", s.line, err)
			}
			window.UploadGrace = grace
		default:
			s.t.Fatalf("%s: no such option", s.line)
		}
	}
	return s.append(within(adopted(goal, zone), window))
}

func (s *script) zone(text string) []fact.ZoneOffset {
	if strings.Contains(text, ":") {
		return s.table(text)
	}
	return zoneNamed(s.t, text)
}

// instant reads 2021-07-24T00:00+09:00, or with seconds and their fractions.
func (s *script) instant(text string) fact.UnixMilli {
	at, err := time.Parse(minutes, text)
	if err != nil {
		at, err = time.Parse(time.RFC3339Nano, text)
	}
	if err != nil {
		s.t.Fatalf("%s: %v", s.line, err)
	}
	return fact.UnixMilli(at.UnixMilli())
}

func (s *script) table(text string) []fact.ZoneOffset {
	var zone []fact.ZoneOffset
	for entry := range strings.SplitSeq(text, ",") {
		from, quarters, _ := strings.Cut(entry, ":")
		zone = append(zone, fact.ZoneOffset{From: fact.Slot(s.number(from)), Quarters: int8(s.number(quarters))})
	}
	return zone
}

// time INSTANT: a gateway's clock shows that.
func (s *script) time(args []string, _ map[string]string) string {
	return s.append(fact.TimePassed{Time: s.instant(args[0])})
}

// arrive NAME...: registers a pin for each and pairs it with a wearer of the same name.
func (s *script) arrive(args []string, _ map[string]string) string {
	var facts []fact.Fact
	for _, name := range args {
		facts = append(facts, registered(name), paired(name, name))
	}
	return s.append(facts...)
}

// register PIN
func (s *script) register(args []string, _ map[string]string) string {
	return s.append(registered(args[0]))
}

// pair PIN WEARER
func (s *script) pair(args []string, _ map[string]string) string {
	return s.append(paired(args[0], args[1]))
}

// retire PIN
func (s *script) retire(args []string, _ map[string]string) string {
	return s.append(retired(args[0]))
}

// erase WEARER
func (s *script) erase(args []string, _ map[string]string) string {
	return s.append(fact.WearerErased{Wearer: wearerOf(args[0])})
}

// steps PIN FIRST N...: a report of the slots from FIRST on, an instant or the number of a slot. 50*8 is 50 eight times.
func (s *script) steps(args []string, _ map[string]string) string {
	var values []uint16
	for _, arg := range args[2:] {
		n, times, repeated := strings.Cut(arg, "*")
		if !repeated {
			times = "1"
		}
		value, err := strconv.ParseUint(n, 10, 16)
		if err != nil {
			s.t.Fatalf("%s: %v", s.line, err)
		}
		values = append(values, slices.Repeat([]uint16{uint16(value)}, s.number(times))...)
	}
	first := fact.Slot(0)
	if strings.Contains(args[1], "T") {
		first = slotOf(s.t, args[1])
	} else {
		first = fact.Slot(s.number(args[1]))
	}
	return s.append(reported(args[0], first, values...))
}

// again FROM [TO]: the facts of these sequences come again, in this order, which may be descending.
func (s *script) again(args []string, _ map[string]string) string {
	from := s.number(args[0])
	to := s.number(args[len(args)-1])
	var facts []fact.Fact
	for seq := min(from, to); seq <= max(from, to); seq++ {
		facts = append(facts, s.log[seq-1])
	}
	if from > to {
		slices.Reverse(facts)
	}
	return s.append(facts...)
}

// day WEARER DAY
func (s *script) day(args []string, _ map[string]string) string {
	var d Day
	s.view(func(r view.Reader) { d = DayOf(r, wearerOf(args[0]), dayNamed(s.t, args[1])) })
	return dayText(d)
}

// days WEARER [before=DAY] [limit=N]: a page of the days, newest first.
func (s *script) days(args []string, options map[string]string) string {
	before := Latest
	if text := options["before"]; text != "" {
		before = dayNamed(s.t, text)
	}
	var lines []string
	s.view(func(r view.Reader) {
		for _, d := range Days(r, wearerOf(args[0]), before, s.limit(options)) {
			lines = append(lines, dayText(d))
		}
	})
	return orNone(lines)
}

func dayText(d Day) string {
	text := fmt.Sprintf("%v %d", d.Day, d.Steps)
	if d.GoalReached {
		text += ", goal reached"
	}
	return text
}

// slots WEARER DAY: the slots with steps, equal ones in a row on one line.
func (s *script) slots(args []string, _ map[string]string) string {
	var lines []string
	s.view(func(r view.Reader) {
		list := Slots(r, wearerOf(args[0]), dayNamed(s.t, args[1]))
		for len(list) > 0 {
			n := 1
			for n < len(list) && list[n] == (Slot{Slot: list[0].Slot + fact.Slot(n), Steps: list[0].Steps}) {
				n++
			}
			line := fmt.Sprintf("%s %d", time.UnixMilli(int64(list[0].Slot.Start())).UTC().Format(minutes), list[0].Steps)
			if n > 1 {
				line += fmt.Sprintf("*%d", n)
			}
			lines = append(lines, line)
			list = list[n:]
		}
	})
	return orNone(lines)
}

// today: by the fold's time.
func (s *script) today([]string, map[string]string) string {
	var day fact.Day
	var known bool
	s.view(func(r view.Reader) { day, known = Today(r) })
	if !known {
		return "unknown"
	}
	return day.String()
}

// leaderboard DAY [after=WEARER] [limit=N]: a page of the ranking. The places follow that of the wearer.
func (s *script) leaderboard(args []string, options map[string]string) string {
	var lines []string
	s.view(func(r view.Reader) {
		day, after := dayNamed(s.t, args[0]), Place{}
		if text := options["after"]; text != "" {
			after = Place{Score: DayOf(r, wearerOf(text), day).Steps, Wearer: wearerOf(text)}
		}
		lines = placesText(Leaderboard(r, day, after, s.limit(options)))
	})
	return orNone(lines)
}

// rank WEARER DAY
func (s *script) rank(args []string, _ map[string]string) string {
	var lines []string
	s.view(func(r view.Reader) {
		if place, ok := Rank(r, dayNamed(s.t, args[1]), wearerOf(args[0])); ok {
			lines = placesText([]Place{place})
		}
	})
	return orNone(lines)
}

// neighbours WEARER DAY N
func (s *script) neighbours(args []string, _ map[string]string) string {
	var lines []string
	s.view(func(r view.Reader) {
		lines = placesText(Neighbours(r, dayNamed(s.t, args[1]), wearerOf(args[0]), s.number(args[2])))
	})
	return orNone(lines)
}

func placesText(places []Place) []string {
	var lines []string
	for _, p := range places {
		lines = append(lines, fmt.Sprintf("%d. %s %d", p.Rank, nameOf(p.Wearer), p.Score))
	}
	return lines
}

// totals: what became of all reports, and the sums.
func (s *script) printTotals([]string, map[string]string) string {
	t := s.totals()
	return fmt.Sprintf("%d reports: %s\n%d days, %d goals, %d steps", t.Reports,
		strings.Join(outcomesSince(Tally{}, t, "%d %s"), ", "), t.Days, t.Goals, t.Steps)
}

// append folds the facts and tells their sequences, what changed in the totals, and what was derived.
func (s *script) append(facts ...fact.Fact) string {
	before, was := s.digest(), s.totals()
	from := s.last() + 1
	derived := s.fold(facts...)
	head := fmt.Sprint(from)
	if s.last() > from {
		head += fmt.Sprintf("..%v", s.last())
	}
	is := s.totals()
	changes := outcomesSince(was, is, "%+d %s")
	if is.Steps != was.Steps {
		changes = append(changes, fmt.Sprintf("%+d steps", int64(is.Steps-was.Steps)))
	}
	head = strings.TrimSpace(head + " " + strings.Join(changes, ", "))
	if s.digest() == before && len(derived) == 0 {
		head += " no effect"
	}
	for _, d := range derived {
		goal := d.(fact.StepGoalReached)
		head += fmt.Sprintf("\nStepGoalReached %s %v, %d", nameOf(goal.Wearer), goal.Day, goal.Steps)
	}
	return head
}

// outcomesSince tells in the format which outcomes of reports changed by how many.
func outcomesSince(was, is Tally, format string) []string {
	var changes []string
	names := []string{"counted", "without rules", "of unknown pins", "of unpaired pins", "of retired pins", "of erased wearers", "while closed"}
	before, after := was.sums(), is.sums()
	for i, name := range names {
		if n := int64(*after[1+i] - *before[1+i]); n != 0 {
			changes = append(changes, fmt.Sprintf(format, n, name))
		}
	}
	return changes
}

func orNone(lines []string) string {
	if len(lines) == 0 {
		return "none"
	}
	return strings.Join(lines, "\n")
}

func (s *script) limit(options map[string]string) int {
	if text := options["limit"]; text != "" {
		return s.number(text)
	}
	return 50
}

func (s *script) number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		s.t.Fatalf("%s: %v", s.line, err)
	}
	return n
}
