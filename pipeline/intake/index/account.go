package index

// An account tracks the newest records of an account.
type account struct {
	name       string
	newest     record // the newest received treat
	backfilled uint64 // the number of the newest backfilled treat
	baseline   record // the newest complete baseline
	batched    uint64 // backfill batches cover the backfilled treats up to this number
}

func (a *account) add(r *record) {
	switch r.kind() {
	case kindTreat:
		if r.repeat > 0 && r.number >= a.newest.number {
			a.newest = *r
		}
		if r.flags&flagBackfill != 0 {
			a.backfilled = max(a.backfilled, r.number)
		}
	case kindBaseline:
		if r.number >= a.baseline.number {
			a.baseline = *r
		}
	case kindBatch:
		a.batched = max(a.batched, r.core)
	}
}

// merge adds what another part of the index knows of the account.
func (a *account) merge(o *account) {
	if o.name != "" {
		a.name = o.name
	}
	if o.newest.number > a.newest.number {
		a.newest = o.newest
	}
	if o.baseline.number > a.baseline.number {
		a.baseline = o.baseline
	}
	a.backfilled, a.batched = max(a.backfilled, o.backfilled), max(a.batched, o.batched)
}
