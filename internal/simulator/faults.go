package simulator

import (
	"encoding/json"
	"math/rand/v2"
	"strconv"
)

// faults decides what goes wrong with each treat.
type faults struct {
	cfg     Config
	rng     *rand.Rand
	garbage []string // in turn
	odd     []oddity // in turn
	served  struct{ garbage, odd int }
}

// fate is what happens to one treat.
type fate struct {
	garbage json.RawMessage // a payload to send before it
	adapt   func(Treat) Treat
	form    shape
	twice   bool
	drop    bool
}

// shape encodes a treat as an event's argument.
type shape func(Treat) json.RawMessage

// oddity is an unusual shape, and what a treat must be like to be put into it.
type oddity struct {
	adapt func(Treat) Treat
	form  shape
}

func newFaults(cfg Config) *faults {
	return &faults{cfg: cfg, rng: source(cfg.Seed, 2), garbage: garbage(), odd: oddities()}
}

// next draws the same numbers whatever the configuration is, so that one fault more does not move the others.
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

// garbage is what cannot be a treat.
func garbage() []string {
	return []string{
		`"realTimeTreat"`, `null`, `42`, `{}`, `[[["Pizza"]]]`, `true`, `[]`, `"{\"title\":\"Pizza\"}"`,
		`{"sender":{"name":"Ada"},"title":["Pizza"],"date_created":false}`, `{"error":"internal"}`,
		``, // No argument at all.
	}
}

// oddities are what a tolerant reader still takes for the treat that it is.
func oddities() []oddity {
	return []oddity{
		{adapt: numberedSender, form: func(t Treat) json.RawMessage {
			n, _ := strconv.Atoi(t.Sender) // numberedSender made it a number.
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

// plain is the shape that the provider documents.
func plain(t Treat) json.RawMessage { return encode(t) }

// changed is the object of t with one key more, or with another value for one.
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
