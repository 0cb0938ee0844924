package index

// An account is what is newest of one.
type account struct {
	name       string
	newest     record // the newest treat that was received
	backfilled uint64 // the newest treat of the origin backfill
	baseline   record // the newest that is whole
	healed     uint64 // up to where treats of the origin backfill are in a heal mark
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
	case kindHeal:
		a.healed = max(a.healed, r.core)
	}
}

// merge adds what is known elsewhere of the account.
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
	a.backfilled, a.healed = max(a.backfilled, o.backfilled), max(a.healed, o.healed)
}
