package art

// A whole turn is 65536; 0 points up and angles grow clockwise, as on a watch.
const turn = 1 << 16

// sines holds sin(i * 90° / 64) * 16384. The same table stands in firmware/core/draw.c.
var sines = [65]int16{
	0, 402, 804, 1205, 1606, 2006, 2404, 2801, 3196, 3590, 3981, 4370, 4756,
	5139, 5520, 5897, 6270, 6639, 7005, 7366, 7723, 8076, 8423, 8765, 9102, 9434,
	9760, 10080, 10394, 10702, 11003, 11297, 11585, 11866, 12140, 12406, 12665, 12916, 13160,
	13395, 13623, 13842, 14053, 14256, 14449, 14635, 14811, 14978, 15137, 15286, 15426, 15557,
	15679, 15791, 15893, 15986, 16069, 16143, 16207, 16261, 16305, 16340, 16364, 16379, 16384,
}

// sine returns sin(angle) * 16384.
func sine(angle int) int {
	a := angle & (turn - 1)
	quarter, rest := a>>14, a&0x3fff
	if quarter&1 == 1 {
		rest = 0x4000 - rest
	}
	i, f := rest>>8, rest&0xff
	v := int(sines[i])
	if f != 0 {
		v += (int(sines[i+1]) - v) * f >> 8
	}
	if quarter >= 2 {
		return -v
	}
	return v
}

// cosine returns cos(angle) * 16384.
func cosine(angle int) int { return sine(angle + turn/4) }

// root returns the integer part of the square root of v; v is not negative and below 2^32.
func root(v int) int {
	bit, r := 1<<30, 0
	for bit > v {
		bit >>= 2
	}
	for ; bit != 0; bit >>= 2 {
		if v >= r+bit {
			v -= r + bit
			r = r>>1 + bit
		} else {
			r >>= 1
		}
	}
	return r
}
