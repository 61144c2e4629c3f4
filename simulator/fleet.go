package simulator

import (
	"fmt"
	"time"

	"github.com/camrail/cidp/stream"
)

// Fleet is the simulated vehicles. One goroutine owns it, but for what Sensors, Truth and FailsWithin tell.
type Fleet struct {
	cfg      Config
	start    int64 // event time of the first tick, ms
	period   int64 // ms
	subs     int   // physics steps a tick
	dt       float64
	context  int64 // ticks between contexts
	tick     int64
	assets   []asset
	sensors  []sensor // of all assets, in order
	info     []SensorInfo
	index    map[[2]string]int // asset and sensor name to position in info
	unplaced []string
	samples  []Sample // scratch of Messages
}

// asset is one vehicle with its place in the fleet.
type asset struct {
	site, name string
	topic      string // of its context
	spots      []spot
	first      int // its first sensor in the fleet
	vehicle    vehicle
	gauge      draw    // noise of its ambient sensor
	gaugeBias  float64 // K
	apart      bool    // conditions come as context, not in the readings
}

// Sample is one reading or context as it leaves a vehicle, without its JSON.
type Sample struct {
	Asset          int32 // position of the asset, from 0
	Sensor         int32 // position in Sensors; -1 for a context, whose Temp and Seq are zero
	Joined         bool  // shares a message with the sample before it
	stream.Reading       // TS as the device's clock has it
}

// New builds a fleet, places its faults and runs the faulty vehicles ahead to know when they fail. The error tells, in a
// sentence each, which fields of the configuration cannot be.
func New(cfg Config) (*Fleet, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("check fleet configuration: %w", err)
	}
	f := &Fleet{cfg: cfg, start: cfg.Start.UnixMilli(), period: cfg.periodMs(), index: map[[2]string]int{}}
	f.subs = int((f.period + 999) / 1000)
	f.dt = float64(f.period) / float64(1000*f.subs)
	f.context = max(1, 10_000/f.period)
	f.build()
	f.unplaced = f.plan()
	f.foresee()
	return f, nil
}

var sites = [...]string{"douala", "yaounde"}

// build makes assets and sensors: every fourth a locomotive, every fourth with its conditions apart.
func (f *Fleet) build() {
	powers := newPowers()
	nameless := f.nameless()
	for i := range f.cfg.Assets {
		loco, site := i%4 == 0, i/2%2
		a := asset{site: sites[site], name: fmt.Sprintf("coach-%d", 12+i), spots: layout(loco), first: len(f.info), apart: i%4 == 3}
		if loco {
			a.name = fmt.Sprintf("loco-%d", 3301+i/4)
		}
		a.topic = "cidp/v1/context/" + a.site + "/" + a.name
		a.vehicle = newVehicle(f.cfg.Seed, i, site, loco, powers)
		a.gauge = newDraw(f.cfg.Seed, i, 1, forVehicle)
		a.gaugeBias = a.gauge.between(-0.3, 0.3)
		a.vehicle.settle(f.start, a.gauge.chance(0.6))
		for j, s := range a.spots {
			if nameless[i] {
				s.name = fmt.Sprintf("t%02d", j+1)
			}
			info := SensorInfo{Site: a.site, Asset: a.name, Name: s.name, Kind: s.kind, AssetIndex: i, Axle: s.axle, Side: s.side}
			info.topic = "cidp/v1/telemetry/" + a.site + "/" + a.name + "/" + s.name
			f.index[[2]string{a.name, s.name}] = len(f.info)
			f.info = append(f.info, info)
			f.sensors = append(f.sensors, newSensor(f.cfg.Seed, i, j, a.vehicle.nodes[j], f.period))
		}
		f.assets = append(f.assets, a)
	}
}

// nameless chooses the assets whose sensors have names that tell no kind.
func (f *Fleet) nameless() []bool {
	chosen := make([]bool, f.cfg.Assets)
	share := float64(f.cfg.OtherShare * float64(len(chosen)))
	for i := range int(share + 0.5) {
		chosen[i] = true
	}
	rng := newDraw(f.cfg.Seed, 1, 0, forPlan)
	rng.shuffle(len(chosen), func(i, j int) { chosen[i], chosen[j] = chosen[j], chosen[i] })
	return chosen
}

// tickTime is the event time of a tick, ms.
func (f *Fleet) tickTime(tick int64) int64 { return f.start + tick*f.period }

// subTime is the event time at the end of a physics step within a tick, ms.
func (f *Fleet) subTime(tick int64, sub int) int64 {
	return f.tickTime(tick) + int64(sub+1)*f.period/int64(f.subs)
}

// Now is the event time of the tick that Step takes next. No reading of it is more than 250 ms later, skewed clocks apart.
func (f *Fleet) Now() time.Time { return time.UnixMilli(f.tickTime(f.tick)).UTC() }

// Period is the time between ticks, and between the readings of a sensor.
func (f *Fleet) Period() time.Duration { return time.Duration(f.period) * time.Millisecond }

// Span is the event time over which faults were planned.
func (f *Fleet) Span() time.Duration { return f.cfg.Span }

// Step moves the fleet by one tick and appends what is sent in it to dst, in order: for each asset its context, where it is
// due, and its readings. It never ends.
func (f *Fleet) Step(dst []Sample) []Sample {
	for i := range f.assets {
		a := &f.assets[i]
		dst = f.emit(dst, int32(i), a)
		f.move(a)
	}
	f.tick++
	return dst
}

// move advances an asset's physics and sensors by one tick.
func (f *Fleet) move(a *asset) {
	v := &a.vehicle
	sensors := f.sensors[a.first : a.first+len(a.spots)]
	for i := range sensors {
		if sensors[i].fault != nil {
			sensors[i].fault.age(f.tickTime(f.tick))
		}
	}
	for sub := range f.subs {
		v.step(f.subTime(f.tick, sub), f.dt)
		for i := range sensors {
			sensors[i].follow(v.nodes[i], v.ambient, f.dt)
		}
	}
}

// emit appends what an asset sends in this tick.
func (f *Fleet) emit(dst []Sample, index int32, a *asset) []Sample {
	now := f.tickTime(f.tick)
	conditions := a.conditions()
	if a.apart {
		if f.tick%f.context == 0 {
			dst = append(dst, Sample{Asset: index, Sensor: -1, Reading: stream.Reading{TS: now, Conditions: conditions}})
		}
		conditions = stream.Conditions{}
	}
	conditions.Has |= stream.HasSeq
	for i := range a.spots {
		at := a.first + i
		s := &f.sensors[at]
		element := s.element
		if s.fault != nil && s.fault.fault == Swap && now >= s.fault.onset {
			element = f.sensors[a.first+(i^1)].element // mates are neighbours: 0 and 1, 2 and 3, ...
		}
		out := Sample{Asset: index, Sensor: int32(at), Reading: s.read(element, now)}
		out.Conditions = conditions
		if s.fault == nil {
			dst = append(dst, out)
		} else {
			dst = s.fault.send(dst, out)
		}
	}
	return dst
}

// conditions takes an asset's own instruments: resolution 0.1 degC, 0.1 km/h, 0.1 t.
func (a *asset) conditions() stream.Conditions {
	v := &a.vehicle
	ambient := v.ambient + a.gaugeBias + float64(0.05*a.gauge.normal())
	c := stream.Conditions{Ambient: stream.Milli(quantum(ambient, 100)), Speed: stream.Milli(quantum(v.drive.speed, 100)),
		Load: stream.Milli(quantum(v.drive.load, 100)), Has: stream.HasAmbient | stream.HasSpeed | stream.HasLoad | stream.HasBrake}
	if v.drive.brake {
		c.Brake = 1
	}
	return c
}
