package simulator

// weather is the outside temperature at one site: a daily cycle and an offset a day. Yaounde and Douala are 20 to 35 degC [K].
type weather struct {
	seed      uint64
	site      int
	day       int64 // days since the epoch, from local noon, of from and to
	known     bool
	from, to  float64 // offsets at this noon and the next, K
	mean, amp float64 // degC, K
}

const (
	hourMs = 3_600_000
	dayMs  = 24 * hourMs
)

func newWeather(seed uint64, site int) weather {
	w := weather{seed: seed, site: site, mean: 27.5, amp: 4.5}
	if site == 1 {
		w.mean = 26.5
	}
	return w
}

// at gives the ambient temperature in degC and the height of the sun, 0 to 1, at an event time. Local time is UTC+1.
func (w *weather) at(ms int64) (ambient, sun float64) {
	local := ms + hourMs
	noon := local - 12*hourMs // times are from 2000 on: never negative
	if day := noon / dayMs; !w.known || day != w.day {
		w.day, w.known = day, true
		w.from, w.to = w.offset(day), w.offset(day+1)
	}
	share := float64(noon%dayMs) / dayMs
	offset := w.from + float64((w.to-w.from)*share)
	hour := float64(local%dayMs) / dayMs
	ambient = w.mean + offset + float64(w.amp*sine(hour-0.375)) // warmest at 15 h
	return ambient, max(0, sine(hour-0.25))
}

func (w *weather) offset(day int64) float64 {
	d := newDraw(w.seed, w.site, int(day), forWeather)
	return d.between(-2, 2)
}
