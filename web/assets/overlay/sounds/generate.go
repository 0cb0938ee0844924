//go:build ignore

// Writes chime.wav and pop.wav: go run generate.go. They are computed here and nowhere else, and have the licence of relay.
package main

import (
	"bytes"
	"encoding/binary"
	"log"
	"math"
	"os"
)

const rate = 22050 // samples a second

// tone is a decaying sine.
type tone struct {
	start, frequency, volume, decay float64 // seconds, hertz, 0 to 1, seconds until a third is left
}

func main() {
	write("chime.wav", 1.3, bell(0, 659.26, bell(0.13, 987.77, bell(0.26, 1318.51, nil))))
	write("pop.wav", 0.5, nil)
}

// bell adds the partials of a struck bar.
func bell(start, frequency float64, others []tone) []tone {
	for _, p := range []struct{ ratio, volume, decay float64 }{{1, 0.5, 0.42}, {2, 0.16, 0.26}, {2.76, 0.12, 0.16}, {5.4, 0.05, 0.07}} {
		others = append(others, tone{start, frequency * p.ratio, p.volume, p.decay})
	}
	return others
}

// pop is a drop of water: its pitch rises.
func pop(at float64) float64 {
	drop := func(at, low, high, length float64) float64 {
		if at < 0 {
			return 0
		}
		phase := low*at + (high-low)*at*at/(2*length)
		return math.Sin(2*math.Pi*phase) * math.Exp(-at/(length*0.45)) * math.Min(1, at/0.003)
	}
	return 0.8*drop(at, 320, 900, 0.11) + 0.6*drop(at-0.1, 520, 1500, 0.09)
}

func write(file string, seconds float64, tones []tone) {
	n := int(seconds * rate)
	samples := make([]int16, n)
	for i := range samples {
		at, v := float64(i)/rate, 0.0
		if tones == nil {
			v = pop(at)
		}
		for _, t := range tones {
			if since := at - t.start; since >= 0 {
				v += t.volume * math.Sin(2*math.Pi*t.frequency*since) * math.Exp(-since/t.decay) * math.Min(1, since/0.004)
			}
		}
		end := math.Min(1, (seconds-at)/0.08) // no click at the end
		samples[i] = int16(math.Tanh(v*0.8) * end * 30000)
	}
	var b bytes.Buffer
	size := uint32(2 * n)
	b.WriteString("RIFF")
	put := func(v any) { _ = binary.Write(&b, binary.LittleEndian, v) }
	put(36 + size)
	b.WriteString("WAVEfmt ")
	put(uint32(16))
	put(uint16(1)) // PCM
	put(uint16(1)) // one channel
	put(uint32(rate))
	put(uint32(2 * rate))
	put(uint16(2))
	put(uint16(16))
	b.WriteString("data")
	put(size)
	put(samples)
	if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
		log.Fatal(err)
	}
}
