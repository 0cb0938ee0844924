package index

// A bloom is a Bloom filter with 8 bits and 5 probes per hash. Its false positive rate is 2 %.
type bloom []byte

const bloomProbes = 5

func newBloom(n int) bloom { return make(bloom, max(n, 8)) }

func (b bloom) add(hash uint64) {
	for i := range uint64(bloomProbes) {
		at := b.probe(hash, i)
		b[at/8] |= 1 << (at % 8)
	}
}

func (b bloom) has(hash uint64) bool {
	for i := range uint64(bloomProbes) {
		if at := b.probe(hash, i); b[at/8]&(1<<(at%8)) == 0 {
			return false
		}
	}
	return true
}

// probe returns the i-th bit of a hash (Kirsch and Mitzenmacher, "Less Hashing, Same Performance").
func (b bloom) probe(hash, i uint64) uint64 {
	h := hash ^ hash>>29
	return (hash + i*(h*0x9fb21c651e98df25|1)) % (uint64(len(b)) * 8)
}

func (b bloom) append(to []byte) []byte { return append(to, b...) }
