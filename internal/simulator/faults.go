package simulator

import (
	"encoding/json"
	"math/rand/v2"
	"strconv"
)

// faults chooses the faults of each treat.
type faults struct {
	cfg     Config
	rng     *rand.Rand
	garbage []string // used in rotation
	odd     []oddity // used in rotation
	served  struct{ garbage, odd int }
}

// fate holds the faults of one treat.
type fate struct {
	garbage json.RawMessage // a payload to send before the treat
	adapt   func(Treat) Treat
	form    shape
	twice   bool
	drop    bool
}

// shape encodes a treat as an event's argument.
type shape func(Treat) json.RawMessage

// oddity is an unusual shape, and how to prepare a treat for it.
type oddity struct {
	adapt func(Treat) Treat
	form  shape
}

func newFaults(cfg Config) *faults {
	return &faults{cfg: cfg, rng: source(cfg.Seed, 2), garbage: garbage(), odd: oddities()}
}

// next draws the same random numbers for every configuration, so that enabling a fault does not change the others.
func (f *faults) next() fate {
	malformed, odd, dup, drop := f.rng.Float64(), f.rng.Float64(), f.rng.Float64(), f.rng.Float64()
	result := fate{form: plain, twice: dup < f.cfg.Dup, drop: drop < f.cfg.Drop}
	if malformed < f.cfg.Malformed {
		result.garbage = json.RawMessage(f.garbage[f.served.garbage%len(f.garbage)])
		f.served.garbage++
	}
	if odd < f.cfg.Odd {
		o := f.odd[f.served.odd%len(f.odd)]
		result.adapt, result.form = o.adapt, o.form
		f.served.odd++
	}
	return result
}

// garbage returns payloads that cannot be a treat.
func garbage() []string {
	return []string{
		`"realTimeTreat"`, `null`, `42`, `{}`, `[[["Pizza"]]]`, `true`, `[]`, `"{\"title\":\"Pizza\"}"`,
		`{"sender":{"name":"Ada"},"title":["Pizza"],"date_created":false}`, `{"error":"internal"}`,
		``, // no argument
	}
}

// oddities returns unusual shapes that a tolerant reader understands.
func oddities() []oddity {
	return []oddity{
		{adapt: numberedSender, form: func(t Treat) json.RawMessage {
			n, _ := strconv.Atoi(t.Sender) // numberedSender has made it a number
			return encode(changed(t, "sender", n))
		}},
		{form: func(t Treat) json.RawMessage {
			return encode(changed(t, "treat_meta", map[string]any{"shard": 7, "tags": []string{"new", "\u2028"}}))
		}},
		{adapt: wordless, form: func(t Treat) json.RawMessage { return encode(changed(t, "message", nil)) }},
		{form: func(t Treat) json.RawMessage { return encode([]Treat{t}) }},
	}
}

func numberedSender(t Treat) Treat {
	t.Sender = strconv.Itoa(1000 + len(t.Title)*37 + len(t.Sender))
	return t
}

func wordless(t Treat) Treat {
	t.Message = nil
	return t
}

// plain encodes a treat in the documented shape.
func plain(t Treat) json.RawMessage { return encode(t) }

// changed returns the object of t with an additional key, or another value for an existing one.
func changed(t Treat, key string, value any) map[string]any {
	object := map[string]any{
		"sender": t.Sender, "sender_type": t.SenderType, "receiver": t.Receiver, "receiver_type": t.ReceiverType,
		"title": t.Title, "date_created": t.DateCreated,
	}
	if t.Message != nil {
		object["message"] = *t.Message
	}
	object[key] = value
	return object
}
