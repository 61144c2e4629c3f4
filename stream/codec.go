package stream

import "strconv"

// AppendReading appends a reading as the JSON of contract section 2, ts as integer milliseconds.
func AppendReading(dst []byte, r Reading) []byte {
	dst = append(dst, `{"ts":`...)
	dst = strconv.AppendInt(dst, r.TS, 10)
	dst = append(dst, `,"temp_c":`...)
	dst = AppendMilli(dst, r.Temp)
	dst = appendConditions(dst, r.Conditions)
	if r.Has&HasSeq != 0 {
		dst = append(dst, `,"seq":`...)
		dst = strconv.AppendInt(dst, r.Seq, 10)
	}
	return append(dst, '}')
}

// AppendContext appends a context as the JSON of contract section 2.
func AppendContext(dst []byte, c Context) []byte {
	dst = append(dst, `{"ts":`...)
	dst = strconv.AppendInt(dst, c.TS, 10)
	dst = appendConditions(dst, c.Conditions)
	return append(dst, '}')
}

func appendConditions(dst []byte, c Conditions) []byte {
	if c.Has&HasAmbient != 0 {
		dst = append(dst, `,"ambient_c":`...)
		dst = AppendMilli(dst, c.Ambient)
	}
	if c.Has&HasSpeed != 0 {
		dst = append(dst, `,"speed_kmh":`...)
		dst = AppendMilli(dst, c.Speed)
	}
	if c.Has&HasLoad != 0 {
		dst = append(dst, `,"load_t":`...)
		dst = AppendMilli(dst, c.Load)
	}
	if c.Has&HasBrake != 0 {
		dst = append(dst, `,"brake":`...)
		dst = append(dst, '0'+c.Brake)
	}
	return dst
}

// AppendMilli appends a canonical value as the shortest decimal that means it: 21.5, -0.001, 40.
func AppendMilli(dst []byte, m Milli) []byte {
	if m < 0 {
		dst = append(dst, '-')
		m = -m
	}
	dst = strconv.AppendInt(dst, int64(m/1000), 10)
	frac := int(m % 1000)
	if frac == 0 {
		return dst
	}
	dst = append(dst, '.', byte('0'+frac/100))
	if frac %= 100; frac != 0 {
		dst = append(dst, byte('0'+frac/10))
		if frac %= 10; frac != 0 {
			dst = append(dst, byte('0'+frac))
		}
	}
	return dst
}
