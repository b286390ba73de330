package host

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"pgregory.net/rapid"

	"pinfold/client/link"
)

func TestCommands(t *testing.T) {
	for _, tt := range []struct {
		name string
		got  Command
		want string // hex
	}{
		{"press", Press(), "42"},
		{"near", Near(true), "4e01"},
		{"away", Near(false), "4e00"},
		{"redraw", Redraw(), "52"},
		{"skip a day", Skip(24 * time.Hour), "5405265c00"},
		{"skip whole milliseconds", Skip(1999 * time.Microsecond), "5400000001"},
	} {
		if got := hex.EncodeToString(tt.got); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
}

// samplesOf returns n different samples.
func samplesOf(n int) (list []Sample) {
	for i := range n {
		list = append(list, Sample{Time: uint32(i) * 20, X: int16(i), Y: int16(-i), Z: 1000})
	}
	return list
}

func TestAccelerometer(t *testing.T) {
	got := Accelerometer([]Sample{
		{Time: 0x01020304, X: 1, Y: -1, Z: 1000},
		{Time: math.MaxUint32, X: math.MinInt16, Y: math.MaxInt16, Z: 0},
	})
	if want := "41" + "01020304" + "0001" + "ffff" + "03e8" + "ffffffff" + "8000" + "7fff" + "0000"; len(got) != 1 || hex.EncodeToString(got[0]) != want {
		t.Errorf("got %x, want %s", got, want)
	}
	for _, tt := range []struct {
		samples int
		want    []int // samples in each command
	}{
		{0, nil},
		{1, []int{1}},
		{23, []int{23}},
		{24, []int{24}},
		{25, []int{24, 1}},
		{48, []int{24, 24}},
		{49, []int{24, 24, 1}},
	} {
		t.Run(fmt.Sprint(tt.samples), func(t *testing.T) {
			samples := samplesOf(tt.samples)
			got := Accelerometer(samples)
			if len(got) != len(tt.want) {
				t.Fatalf("got %d commands, want %d", len(got), len(tt.want))
			}
			for i, n := range tt.want {
				want := []byte{'A'}
				for _, s := range samples[:n] {
					want = binary.BigEndian.AppendUint32(want, s.Time)
					want = append(want, byte(s.X>>8), byte(s.X), byte(s.Y>>8), byte(s.Y), 0x03, 0xE8)
				}
				if samples = samples[n:]; !bytes.Equal(got[i], want) {
					t.Errorf("command %d: got %x, want %x", i, got[i], want)
				}
				if len(got[i]) > link.MaxDatagram {
					t.Errorf("command %d has %d bytes, want %d at most", i, len(got[i]), link.MaxDatagram)
				}
			}
		})
	}
}

func TestReadSamples(t *testing.T) {
	const heading = "t_ms,x_mg,y_mg,z_mg\n"
	for _, tt := range []struct {
		name string
		file string
		want []Sample
	}{
		{"nothing", "", nil},
		{"a heading alone", heading, nil},
		{"a heading without the end of its line", strings.TrimSpace(heading), nil},
		{"times begin with 0", heading + "5000,1,-2,1000\n5020,3,4,-5\n", []Sample{{0, 1, -2, 1000}, {20, 3, 4, -5}}},
		{"no end of the last line", heading + "7,1,2,3", []Sample{{0, 1, 2, 3}}},
		{"a time before 0", heading + "-20,1,2,3\n20,4,5,6\n", []Sample{{0, 1, 2, 3}, {40, 4, 5, 6}}},
		{"equal times stay", heading + "10,1,0,0\n10,2,0,0\n", []Sample{{0, 1, 0, 0}, {0, 2, 0, 0}}},
		{
			"older than one before", heading + "100,1,0,0\n120,2,0,0\n110,3,0,0\n119,4,0,0\n120,5,0,0\n90,6,0,0\n140,7,0,0\n",
			[]Sample{{0, 1, 0, 0}, {20, 2, 0, 0}, {20, 5, 0, 0}, {40, 7, 0, 0}},
		},
		{"comments, empty lines and spaces", heading + "# still\n\n 10 ,\t1 , 2,3 \n#12,9,9,9\n20,4,5,6\n", []Sample{{0, 1, 2, 3}, {10, 4, 5, 6}}},
		{"quotes", heading + "\"10\", \"1\",2,3\n", []Sample{{0, 1, 2, 3}}},
		{"lines of Windows", "t_ms,x_mg,y_mg,z_mg\r\n10,1,2,3\r\n20,4,5,6\r\n", []Sample{{0, 1, 2, 3}, {10, 4, 5, 6}}},
		{"fractions", heading + "10.5,0.4,0.5,-0.5\n12.4,1.49,-1.51,1e3\n", []Sample{{0, 0, 1, -1}, {1, 1, -2, 1000}}},
		{"beyond the range of a sensor", heading + "0,32767.4,40000,-1e300\n1,-32768.4,-40000,1e300\n", []Sample{{0, 32767, 32767, -32768}, {1, -32768, -32768, 32767}}},
		{"the last time there is", heading + "1,0,0,0\n4294967296,1,2,3\n", []Sample{{0, 0, 0, 0}, {math.MaxUint32, 1, 2, 3}}},
		{
			"Oxford", "6408038877844,-1.1611878,4.939238,10.035296,0,0,0\n6408049729969,-0.47165772,5.1355624,9.543288,0,1,0\n",
			[]Sample{{0, -118, 504, 1023}, {10, -48, 524, 973}},
		},
		{"Oxford with one g each way", "1000000000,9.80665,-9.80665,0,0,0,0\n1040000000,0,0,19.6133,0,0,0\n", []Sample{{0, 1000, -1000, 0}, {40, 0, 0, 2000}}},
		{"Oxford with a heading", "time,x,y,z,a,b,c\n1000000000,0,0,9.80665,0,0,0\n", []Sample{{0, 0, 0, 1000}}},
		{"Oxford with a heading alone", "time,x,y,z,a,b,c\n", nil},
		{"Oxford's step counts are left out", "0,0,0,9.80665,NaN,,many\n", []Sample{{0, 0, 0, 1000}}},
		{
			"Oxford older than one before", "50000000,9.80665,0,0,0,0,0\n40000000,0,9.80665,0,0,0,0\n60000000,0,0,9.80665,0,0,0\n",
			[]Sample{{0, 1000, 0, 0}, {10, 0, 0, 1000}},
		},
		{"Oxford with comments", "# walk\n1000000,0,0,9.80665,0,0,0\n#\n3000000,0,9.80665,0,0,0,0\n", []Sample{{0, 0, 0, 1000}, {2, 0, 1000, 0}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ReadSamples(strings.NewReader(tt.file))
			if err != nil || !slices.Equal(got, tt.want) {
				t.Errorf("got %v, %v, want %v", got, err, tt.want)
			}
			// The first line is told by a look ahead, which must not depend on how much comes at a time.
			got, err = ReadSamples(iotest.OneByteReader(strings.NewReader(tt.file)))
			if err != nil || !slices.Equal(got, tt.want) {
				t.Errorf("byte by byte: got %v, %v, want %v", got, err, tt.want)
			}
		})
	}
}

func TestReadSamplesErrors(t *testing.T) {
	const heading, oxford = "t_ms,x_mg,y_mg,z_mg\n", "1000000,0,0,9.8,0,0,0\n"
	for _, tt := range []struct {
		name string
		file string
		want []string // parts of the error
	}{
		{"too few columns", heading + "1,2,3\n", []string{"line 2", "number of fields"}},
		{"too many columns", heading + "1,2,3,4\n2,2,3,4,5\n", []string{"line 3", "number of fields"}},
		{"a text", heading + "1,2,3,4\n2,2,three,4\n", []string{"line 3", `column 3 is "three"`}},
		{"nothing in a column", heading + "1,2,3,\n", []string{"line 2", `column 4 is ""`}},
		{"a time of NaN", heading + "NaN,2,3,4\n", []string{"line 2", `column 1 is "NaN"`}},
		{"NaN", heading + "1,nan,3,4\n", []string{"line 2", `column 2 is "nan"`}},
		{"infinity", heading + "1,2,3,4\n2,2,3,-Inf\n", []string{"line 3", `column 4 is "-Inf"`}},
		{"a number past all numbers", heading + "1,2,1e999,4\n", []string{"line 2", `column 3 is "1e999"`}},
		{"a second heading", heading + heading, []string{"line 2", `column 1 is "t_ms"`}},
		{"a bad sample that is too old", heading + "5,1,1,1\n1,x,1,1\n", []string{"line 3", `column 2 is "x"`}},
		{"empty lines and comments count", heading + "\n# one\n1,2,3,4\n\n#\n2,2,3,x\n", []string{"line 7", `column 4 is "x"`}},
		{"a time 49 days late", heading + "1,0,0,0\n4294967297,1,2,3\n", []string{"line 3", "4294967297", "49 days"}},
		{"times past all numbers", heading + "-1e308,0,0,0\n1e308,1,2,3\n", []string{"line 3", "1e308"}},
		{"a quote in the heading", "t_ms,x_mg,y_mg,z_mg\"\n1,2,3,4\n", []string{"line 1", `bare "`}},
		{"a quote", heading + "1,2,\"3,4\n2,2,3,4\n", []string{"line 2", "quote"}},
		{"the heading after a comment", "# walk\n" + heading + "1,2,3,4\n", []string{"line 2", "number of fields"}},
		{"Oxford without its step counts", "1000000,0,0,9.8\n", []string{"line 1", "number of fields"}},
		{"Oxford with a column more", oxford + "1000000,0,0,9.8,0,0,0,0\n", []string{"line 2", "number of fields"}},
		{"Oxford with a text", oxford + "2000000,x,0,9.8,0,0,0\n", []string{"line 2", `column 2 is "x"`}},
		{"Oxford with infinity", oxford + "2000000,0,Inf,9.8,0,0,0\n", []string{"line 2", `column 3 is "Inf"`}},
		{"Oxford with a heading in line 2", "# walk\ntime,x,y,z,a,b,c\n" + oxford, []string{"line 2", `column 1 is "time"`}},
		{"Oxford with two headings", "time,x,y,z,a,b,c\ntime,x,y,z,a,b,c\n" + oxford, []string{"line 2", `column 1 is "time"`}},
		{"Oxford with a time 49 days late", oxford + "4294967296999999,0,0,9.8,0,0,0\n", []string{"line 2", "4294967296999999", "49 days"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ReadSamples(strings.NewReader(tt.file))
			if err == nil || got != nil {
				t.Fatalf("got %v, %v, want nothing but an error", got, err)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got the error %q, want %q in it", err, want)
				}
			}
		})
	}
}

// forever repeats a text without end, and counts what was read.
type forever struct {
	text string
	read int
}

// Read implements io.Reader.
func (f *forever) Read(p []byte) (int, error) {
	for n := 0; n < len(p); {
		n += copy(p[n:], f.text[(f.read+n)%len(f.text):])
	}
	f.read += len(p)
	return len(p), nil
}

// TestReadSamplesEndless: a sample that takes no end is an error, after a bound.
func TestReadSamplesEndless(t *testing.T) {
	for name, text := range map[string]string{"a quoted field": "\n", "comments": "# no sample\n", "a line": "1", "zeros": "\x00"} {
		t.Run(name, func(t *testing.T) {
			begin := "t_ms,x_mg,y_mg,z_mg\n1,2,3,4\n2,2,3,4\n"
			if name == "a quoted field" {
				begin += "\""
			}
			rest := &forever{text: text}
			got, err := ReadSamples(io.MultiReader(strings.NewReader(begin), rest))
			if want := "behind line 3: want at most 1048576 bytes from one sample to the next"; got != nil || err == nil || err.Error() != want {
				t.Errorf("got %v, %v, want %q", got, err, want)
			}
			if rest.read > maxRecord+64<<10 {
				t.Errorf("%d bytes were read", rest.read)
			}
		})
	}
}

// TestReadSamplesMost: one sample more than there may be.
func TestReadSamplesMost(t *testing.T) {
	lines := io.LimitReader(&forever{text: "1,2,3,4\n"}, 8*int64(MaxSamples+1))
	got, err := ReadSamples(io.MultiReader(strings.NewReader("t_ms,x_mg,y_mg,z_mg\n"), lines))
	if want := fmt.Sprintf("line %d: want at most %d samples", 1+MaxSamples+1, MaxSamples); got != nil || err == nil || err.Error() != want {
		t.Errorf("got %d samples, %v, want %q", len(got), err, want)
	}
}

// TestReadSamplesBroken: a file whose end cannot be read is not taken for a shorter one.
func TestReadSamplesBroken(t *testing.T) {
	broken := errors.New("broken")
	for _, file := range []string{"", "t_ms,x", "t_ms,x_mg,y_mg,z_mg", "t_ms,x_mg,y_mg,z_mg\n", "t_ms,x_mg,y_mg,z_mg\n1,2,3,4\n2,2,3", "1,2,3,4,0,0,0\n", "1,2,3,4,0,0,0\n2,2"} {
		t.Run(fmt.Sprintf("%q", file), func(t *testing.T) {
			got, err := ReadSamples(io.MultiReader(strings.NewReader(file), iotest.ErrReader(broken)))
			if got != nil || !errors.Is(err, broken) {
				t.Errorf("got %v, %v, want the reader's error", got, err)
			}
		})
	}
}

// TestReadSamplesFailsOnce: nor is a file which could not be read for a moment.
func TestReadSamplesFailsOnce(t *testing.T) {
	file := iotest.TimeoutReader(iotest.OneByteReader(strings.NewReader("t_ms,x_mg,y_mg,z_mg\n1,2,3,4\n")))
	if got, err := ReadSamples(file); got != nil || !errors.Is(err, iotest.ErrTimeout) {
		t.Errorf("got %v, %v, want the reader's error", got, err)
	}
}

// TestReadSamplesWritten reads back what was written.
func TestReadSamplesWritten(t *testing.T) {
	axis := rapid.Int16()
	rapid.Check(t, func(t *rapid.T) {
		begin := rapid.Int64Range(-1e12, 1e12).Draw(t, "begin")
		steps := rapid.SliceOfN(rapid.Uint32Range(0, 1<<20), 1, 60).Draw(t, "steps")
		steps[0] = 0
		var file strings.Builder
		file.WriteString("t_ms,x_mg,y_mg,z_mg\n")
		var want []Sample
		var now uint32
		for _, step := range steps {
			now += step
			s := Sample{now, axis.Draw(t, "x"), axis.Draw(t, "y"), axis.Draw(t, "z")}
			want = append(want, s)
			fmt.Fprintf(&file, "%d,%d,%d,%d\n", begin+int64(now), s.X, s.Y, s.Z)
		}
		if got, err := ReadSamples(strings.NewReader(file.String())); err != nil || !slices.Equal(got, want) {
			t.Fatalf("got %v, %v, want %v", got, err, want)
		}
	})
}

// FuzzReadSamples: the times of what is read begin with 0 and never go back, and errors give nothing.
func FuzzReadSamples(f *testing.F) {
	for _, file := range []string{
		"",
		"t_ms,x_mg,y_mg,z_mg\n5000,1,-2,1000\n5020,3,4,-5\n4000,0,0,0\n5020,1e9,-1e9,0\n",
		"t_ms,x_mg,y_mg,z_mg\r\n# still\r\n\r\n 0.5 , 1, 2, 3\r\n4294967295.5,1,2,3\r\n",
		"t_ms,x_mg,y_mg,z_mg\n-1e308,0,0,0\n1e308,1,2,3\n",
		"t_ms,x_mg,y_mg,z_mg\n1,NaN,3,4\n",
		"t_ms,x_mg,y_mg,z_mg\n\"1\n\",2,3,4\n",
		"t_ms,x_mg,y_mg,z_mg,more\n1,2,3,4\n",
		"6408038877844,-1.1611878,4.939238,10.035296,0,0,0\n6408049729969,-0.47165772,5.1355624,9.543288,0,0,0\n",
		"time,x,y,z,a,b,c\n1000000000,0,0,9.80665,0,0,0\n0,0,0,0,0,0,0\n",
		"1,2,3,4,5,6\n",
	} {
		f.Add([]byte(file))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		samples, err := ReadSamples(bytes.NewReader(file))
		if err != nil {
			if samples != nil {
				t.Fatalf("got %d samples and %v, want one of them", len(samples), err)
			}
			return
		}
		if len(samples) > bytes.Count(file, []byte("\n"))+1 {
			t.Fatalf("got %d samples of %d lines", len(samples), bytes.Count(file, []byte("\n"))+1)
		}
		var last uint32
		for i, s := range samples {
			if i == 0 && s.Time != 0 || s.Time < last {
				t.Fatalf("sample %d: got time %d after %d, want 0 at first and none that goes back", i, s.Time, last)
			}
			last = s.Time
		}
	})
}
