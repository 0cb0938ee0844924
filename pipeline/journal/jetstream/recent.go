package jetstream

// recentSize is how many of the newest records' ids are kept in memory. It is more than one append has.
const recentSize = 1 << 14

// recent remembers the ids of the newest records. Its zero value is ready.
type recent struct {
	ids       []recentID // that of a sequence is at its remainder
	sequences map[string]uint64
	newest    uint64
}

type recentID struct {
	sequence uint64
	id       string
}

// remember keeps the id of a record.
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

// forgetFrom forgets the records from a sequence on.
func (r *recent) forgetFrom(sequence uint64) {
	for i := range r.ids {
		if r.ids[i].sequence >= sequence {
			r.drop(&r.ids[i])
		}
	}
	r.newest = min(r.newest, max(sequence, 1)-1)
}

// id is that of a record, if it is known.
func (r *recent) id(sequence uint64) (string, bool) {
	if r.ids == nil || sequence == 0 || r.ids[sequence%recentSize].sequence != sequence {
		return "", false
	}
	return r.ids[sequence%recentSize].id, true
}

// known returns the sequences whose ids are known, from first to last, in order.
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
