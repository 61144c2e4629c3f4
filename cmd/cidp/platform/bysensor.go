package platform

// bySensor holds a value for each sensor that has one, by its dense id. A map would take twice as much for a fleet, since it is never full, and both the old and the new one while it
// grows. The zero value is empty.
type bySensor[T any] struct {
	parts []*sensorPart[T] // of partLength ids each; nil: none of them has a value
}

const partLength = 256

type sensorPart[T any] struct {
	has    [partLength]bool
	values [partLength]T
}

// get gives a sensor's value, the zero one when it has none.
func (b *bySensor[T]) get(id int64) (v T, ok bool) {
	if at := b.at(id); at != nil {
		return *at, true
	}
	return v, false
}

// at gives where a sensor's value lies, nil when it has none. It stays there.
func (b *bySensor[T]) at(id int64) *T {
	k, i := id/partLength, id%partLength
	if k >= int64(len(b.parts)) || b.parts[k] == nil || !b.parts[k].has[i] {
		return nil
	}
	return &b.parts[k].values[i]
}

// set gives a sensor a value, and says where it lies.
func (b *bySensor[T]) set(id int64, v T) *T {
	k, i := id/partLength, id%partLength
	for k >= int64(len(b.parts)) {
		b.parts = append(b.parts, nil)
	}
	p := b.parts[k]
	if p == nil {
		p = &sensorPart[T]{}
		b.parts[k] = p
	}
	p.has[i], p.values[i] = true, v
	return &p.values[i]
}
