package model

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// The protocol buffers wire format (its public encoding guide), as much of it as ONNX needs. A message is read field by field from the bytes that are
// there: a length is never believed beyond them, and nothing is allocated for it.

// Wire types.
const (
	wireVarint = 0
	wire64     = 1
	wireBytes  = 2
	wire32     = 5
)

// field is one field of a message. Which of number and bytes holds its value depends on its type.
type field struct {
	id     int
	kind   int
	number uint64
	bytes  []byte
}

var errWire = errors.New("not a protocol buffers message")

// fields calls each for every field of a message, in order.
func fields(message []byte, each func(f field) error) error {
	for len(message) > 0 {
		tag, n := binary.Uvarint(message)
		if n <= 0 || tag>>3 == 0 || tag>>3 > math.MaxInt32 {
			return errWire
		}
		message = message[n:]
		f := field{id: int(tag >> 3), kind: int(tag & 7)}
		switch f.kind {
		case wireVarint:
			if f.number, n = binary.Uvarint(message); n <= 0 {
				return errWire
			}
		case wire64:
			if n = 8; len(message) < n {
				return errWire
			}
			f.number = binary.LittleEndian.Uint64(message)
		case wire32:
			if n = 4; len(message) < n {
				return errWire
			}
			f.number = uint64(binary.LittleEndian.Uint32(message))
		case wireBytes:
			size, head := binary.Uvarint(message)
			if head <= 0 || size > uint64(len(message)-head) {
				return errWire
			}
			f.bytes = message[head : head+int(size)]
			n = head + int(size)
		default:
			return errWire
		}
		message = message[n:]
		if err := each(f); err != nil {
			return err
		}
	}
	return nil
}

// text is a field that must be bytes.
func (f field) text() (string, error) {
	if f.kind != wireBytes {
		return "", errWire
	}
	return string(f.bytes), nil
}

// message is a field that must be a message, or bytes.
func (f field) message() ([]byte, error) {
	if f.kind != wireBytes {
		return nil, errWire
	}
	return f.bytes, nil
}

// appendInts adds a repeated integer, packed or not, to a list of at most maxNodes.
func (f field) appendInts(list []int64) ([]int64, error) {
	switch f.kind {
	case wireVarint:
		list = append(list, int64(f.number))
	case wireBytes:
		for rest := f.bytes; len(rest) > 0; {
			v, n := binary.Uvarint(rest)
			if n <= 0 {
				return nil, errWire
			}
			if list, rest = append(list, int64(v)), rest[n:]; len(list) > maxList {
				break
			}
		}
	default:
		return nil, errWire
	}
	return list, tooLong(len(list))
}

// appendFloats adds a repeated float32, packed or not.
func (f field) appendFloats(list []float32) ([]float32, error) {
	switch {
	case f.kind == wire32:
		list = append(list, math.Float32frombits(uint32(f.number)))
	case f.kind == wireBytes && len(f.bytes)%4 == 0:
		for at := 0; at < len(f.bytes) && len(list) <= maxList; at += 4 {
			list = append(list, math.Float32frombits(binary.LittleEndian.Uint32(f.bytes[at:])))
		}
	default:
		return nil, errWire
	}
	return list, tooLong(len(list))
}

// appendDoubles adds a repeated float64, packed or not.
func (f field) appendDoubles(list []float64) ([]float64, error) {
	switch {
	case f.kind == wire64:
		list = append(list, math.Float64frombits(f.number))
	case f.kind == wireBytes && len(f.bytes)%8 == 0:
		for at := 0; at < len(f.bytes) && len(list) <= maxList; at += 8 {
			list = append(list, math.Float64frombits(binary.LittleEndian.Uint64(f.bytes[at:])))
		}
	default:
		return nil, errWire
	}
	return list, tooLong(len(list))
}

// maxList bounds a list: each node may weigh each of two classes.
const maxList = 2 * maxNodes

func tooLong(n int) error {
	if n > maxList {
		return fmt.Errorf("a list of more than %d entries", maxList)
	}
	return nil
}

// appendVarint writes a varint field.
func appendVarint(dst []byte, id int, v uint64) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(dst, uint64(id)<<3|wireVarint), v)
}

// appendBytes writes a field of bytes: a text, a message, a packed list.
func appendBytes[T ~[]byte | ~string](dst []byte, id int, v T) []byte {
	dst = binary.AppendUvarint(dst, uint64(id)<<3|wireBytes)
	dst = binary.AppendUvarint(dst, uint64(len(v)))
	return append(dst, v...)
}

// appendFloat writes a float32 field.
func appendFloat(dst []byte, id int, v float32) []byte {
	dst = binary.AppendUvarint(dst, uint64(id)<<3|wire32)
	return binary.LittleEndian.AppendUint32(dst, math.Float32bits(v))
}
