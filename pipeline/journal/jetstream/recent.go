package jetstream

// recentSize is the number of newest records whose ids are in memory. It exceeds the entries of one append.
const recentSize = 1 << 14

// recent remembers the ids of the newest records. The zero value is ready for use.
type recent struct {
	ids       []recentID // indexed by sequence modulo size
	sequences map[string]uint64
	newest    uint64
}

type recentID struct {
	sequence uint64
	id       string
}

// remember stores the id of a record.
func (r *recent) remember(sequence uint64, id string) {
	if r.ids == nil {
		r.ids, r.sequences = make([]recentID, recentSize), make(map[string]uint64)
	}
	slot := &r.ids[sequence%recentSize]
	r.drop(slot)
	*slot = recentID{sequence, id}
	r.sequences[id] = sequence
	r.newest = max(r.newest, sequence)
}

func (r *recent) drop(slot *recentID) {
	if slot.sequence != 0 && r.sequences[slot.id] == slot.sequence {
		delete(r.sequences, slot.id)
	}
	*slot = recentID{}
}

// forgetFrom removes the records from a sequence on.
func (r *recent) forgetFrom(sequence uint64) {
	for i := range r.ids {
		if r.ids[i].sequence >= sequence {
			r.drop(&r.ids[i])
		}
	}
	r.newest = min(r.newest, max(sequence, 1)-1)
}

// id returns the id of a record, if known.
func (r *recent) id(sequence uint64) (string, bool) {
	if r.ids == nil || sequence == 0 || r.ids[sequence%recentSize].sequence != sequence {
		return "", false
	}
	return r.ids[sequence%recentSize].id, true
}

// known returns the sequences from first to last whose ids are known, in order.
func (r *recent) known(first, last uint64) []uint64 {
	last = min(last, r.newest)
	if last >= recentSize {
		first = max(first, last-recentSize+1)
	}
	var all []uint64
	for s := max(first, 1); s <= last; s++ {
		if _, ok := r.id(s); ok {
			all = append(all, s)
		}
	}
	return all
}
