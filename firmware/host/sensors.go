package host

import (
	"bufio"
	"encoding/binary"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
)

// Command is one command to a pin's sensors, firmware/hal/inject.h.
type Command []byte

// Press is a press of the button.
func Press() Command { return Command{'B'} }

// Near brings another pin near, or takes it away.
func Near(near bool) Command {
	if near {
		return Command{'N', 1}
	}
	return Command{'N', 0}
}

// Redraw lets the pin draw its whole display again.
func Redraw() Command { return Command{'R'} }

// Skip lets the pin's time since boot, and with it its clock, run ahead by whole milliseconds.
func Skip(d time.Duration) Command {
	return binary.BigEndian.AppendUint32(Command{'T'}, uint32(d.Milliseconds()))
}

// Sample is one of the accelerometer: milliseconds since any moment, and thousandths of g.
type Sample struct {
	Time    uint32
	X, Y, Z int16
}

// maxSamples is the most in one command.
const maxSamples = 24

// Accelerometer makes the commands that feed samples to the pin.
func Accelerometer(samples []Sample) []Command {
	var list []Command
	for len(samples) > 0 {
		n := min(len(samples), maxSamples)
		c := Command{'A'}
		for _, s := range samples[:n] {
			c = binary.BigEndian.AppendUint32(c, s.Time)
			for _, v := range [...]int16{s.X, s.Y, s.Z} {
				c = binary.BigEndian.AppendUint16(c, uint16(v))
			}
		}
		list, samples = append(list, c), samples[n:]
	}
	return list
}

// The largest accelerometer file: 11 hours at 100 Hz.
const (
	MaxSamples = 4_000_000
	maxRecord  = 1 << 20 // bytes from one sample to the next, with comments between
)

const (
	standardGravity = 9.80665 // m/s², of one g
	ours            = "t_ms,x_mg,y_mg,z_mg"
	oxfordColumns   = 7
)

// ReadSamples reads an accelerometer file. Its first line is `t_ms,x_mg,y_mg,z_mg`, and the others are such numbers; or it
// is one of the Oxford step counter set: nanoseconds, three columns of m/s², and three of step counts that are left out.
// Times begin with 0, and a sample older than the one before it is left out. There are at most MaxSamples. Errors name the
// line.
func ReadSamples(r io.Reader) ([]Sample, error) {
	pace := &paced{r: r}
	in := bufio.NewReader(pace)
	head, err := in.Peek(len(ours))
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	lines := csv.NewReader(in)
	lines.Comment, lines.TrimLeadingSpace, lines.ReuseRecord = '#', true, true
	columns, perMilli, perMilliG := oxfordColumns, 1e6, standardGravity/1000
	if string(head) == ours {
		columns, perMilli, perMilliG = 4, 1, 1
		if _, err := lines.Read(); err != nil {
			return nil, err
		}
	}
	lines.FieldsPerRecord = columns
	var list []Sample
	var begin, last float64
	line := 0
	for {
		pace.since = 0
		fields, err := lines.Read()
		switch {
		case errors.Is(err, io.EOF):
			return list, nil
		case errors.Is(err, errEndless):
			return nil, fmt.Errorf("behind line %d: %w", line, err)
		case err != nil:
			return nil, err
		}
		line, _ = lines.FieldPos(0)
		if len(list) == MaxSamples {
			return nil, fmt.Errorf("line %d: want at most %d samples", line, MaxSamples)
		}
		v, err := numbers(fields[:4])
		if err != nil {
			if len(list) == 0 && begin == 0 && line == 1 {
				continue // a heading
			}
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
		t := v[0] / perMilli
		if len(list) == 0 {
			begin, last = t, t
		}
		if t < last {
			continue
		}
		if t-begin > math.MaxUint32 {
			return nil, fmt.Errorf("line %d: time %s: want less than 49 days after the first", line, fields[0])
		}
		last = t
		list = append(list, Sample{Time: uint32(t - begin), X: milliG(v[1] / perMilliG), Y: milliG(v[2] / perMilliG), Z: milliG(v[3] / perMilliG)})
	}
}

var errEndless = fmt.Errorf("want at most %d bytes from one sample to the next", maxRecord)

// paced fails where one sample takes no end: a quoted field may be as long as it likes.
type paced struct {
	r     io.Reader
	since int // bytes since the last sample
}

// Read implements io.Reader.
func (p *paced) Read(b []byte) (int, error) {
	if p.since > maxRecord {
		return 0, errEndless
	}
	n, err := p.r.Read(b)
	p.since += n
	return n, err
}

func numbers(fields []string) (v [4]float64, err error) {
	for i, f := range fields {
		if v[i], err = strconv.ParseFloat(strings.TrimSpace(f), 64); err != nil || math.IsNaN(v[i]) || math.IsInf(v[i], 0) {
			return v, fmt.Errorf("column %d is %.80q: want a number", i+1, f)
		}
	}
	return v, nil
}

// milliG is what the sensor would say, which ends at the range of its numbers.
func milliG(v float64) int16 {
	return int16(math.Round(min(max(v, math.MinInt16), math.MaxInt16)))
}
