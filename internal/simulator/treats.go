package simulator

import (
	"bytes"
	"cmp"
	"encoding/json"
	"math/rand/v2"
	"strings"
	"time"
)

// dateFormat is the provider's format of dates, which has no zone. The simulator uses UTC.
const dateFormat = "2006-01-02 15:04:05"

// receiverType is the platform of the simulated streamer.
const receiverType = "twitch"

// longMessage is the length of the longest messages, in characters.
const longMessage = 2000

// Treat is a gift as the provider sends it.
type Treat struct {
	Sender       string `json:"sender"`      // empty: anonymous
	SenderType   string `json:"sender_type"` // "user" or the name of a platform
	Receiver     string `json:"receiver"`
	ReceiverType string `json:"receiver_type"`
	Title        string `json:"title"`
	// Message is nil if the viewer wrote none. Then the key is absent.
	Message     *string `json:"message,omitempty"`
	DateCreated string  `json:"date_created"` // as in "2026-07-16 21:00:00", UTC
}

// filled returns t with receiver and date filled in if they are empty.
func (t Treat) filled(receiver string) Treat {
	t.Receiver = cmp.Or(t.Receiver, receiver)
	t.ReceiverType = cmp.Or(t.ReceiverType, receiverType)
	t.DateCreated = cmp.Or(t.DateCreated, time.Now().UTC().Format(dateFormat))
	return t
}

// encode returns JSON as the provider's JavaScript writes it, without the escapes that Go adds for HTML. It returns null
// for values that cannot be encoded; there are none here.
func encode(v any) json.RawMessage {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return json.RawMessage("null")
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// generator generates treats without receiver and date. The same seed gives the same treats.
type generator struct {
	rng      *rand.Rand
	viewers  []viewer
	dishes   []string
	messages []string
}

// viewer is a sender of treats, always on the same platform.
type viewer struct{ name, platform string }

func newGenerator(seed uint64) *generator {
	return &generator{rng: source(seed, 3), viewers: viewers(), dishes: titles(), messages: messages()}
}

func (g *generator) next() Treat {
	by := pick(g.rng, g.viewers)
	if g.rng.IntN(100) < 6 {
		by.name = ""
	}
	t := Treat{Sender: by.name, SenderType: by.platform, Title: pick(g.rng, g.dishes)}
	switch n := g.rng.IntN(100); {
	case n < 20: // no message
	case n < 25:
		t.Message = new("")
	case n < 28:
		t.Message = new(g.longest())
	default:
		t.Message = new(pick(g.rng, g.messages))
	}
	return t
}

// longest returns a message of the maximum length.
func (g *generator) longest() string {
	var b strings.Builder
	for b.Len() < 8*longMessage {
		b.WriteString(pick(g.rng, g.messages))
		b.WriteByte(' ')
	}
	return string([]rune(b.String())[:longMessage])
}

func pick[T any](rng *rand.Rand, from []T) T { return from[rng.IntN(len(from))] }

func viewers() []viewer {
	return []viewer{
		{"GenerousViewer", "twitch"},
		{"pixel_otter", "twitch"},
		{"NightOwl_77", "twitch"},
		{"Captain Crumb", "user"},
		{"marzipan", "user"},
		{"Søren på cyklen", "user"},
		{"Zoë & Max", "user"},
		{"lurker0451", "twitch"},
		{"たこやき先生", "youtube"},
		{"김치볶음밥", "youtube"},
		{"小笼包爱好者", "youtube"},
		{"نور الليل", "youtube"},
		{"שוקו חם", "user"},
		{"Ева_из_чата", "youtube"},
		{"🦊 Foxy 🦊", "youtube"},
		{"the_real_toaster", "kick"},
		{"O'Brien \"Obi\"", "user"},
		{"<b>Bold</b>", "user"},
		{"xX_NoScope_Xx", "kick"},
		{"mum", "facebook"},
		{"Übermüsli", "twitch"},
		{"tiny.teapot", "discord"},
		{"Ẑ̴á̵l̶g̷o̸", "discord"},
		{"@everyone", "discord"},
		{"A", "twitch"},
		{"grandmaster_of_the_late_night_snack_cart", "twitch"},
		{"O\u0308zlem", "user"},
		{"👩‍👩‍👧‍👦 family", "facebook"},
		{"null", "twitch"},
		{"404NotHungry", "kick"},
	}
}

func titles() []string {
	return []string{
		"Pizza", "Pizza Margherita", "Ramen", "Tacos", "Bubble tea", "Coffee", "Espresso doppio", "Iced latte", "Cookies",
		"Birthday cake", "Burger & fries", "Vegan burger", "Sushi", "Onigiri", "Bibimbap", "Pad thai", "Pho", "Dumplings",
		"小笼包", "たい焼き", "Churros", "Donuts", "Croissant", "Crème brûlée", "Jalapeño poppers", "Falafel", "شاورما",
		"Döner", "Borscht", "Pierogi", "Currywurst", "Smørrebrød", "Fish 'n' chips", "Mac & cheese", "Nachos",
		"Caesar salad", "Soup of the day", "Ice cream 🍦", "Energy drink", "Beer", "Ginger ale", "A very large bucket of popcorn",
	}
}

func messages() []string {
	return []string{
		"enjoy!", "GG", "ty for the stream", "you earned it", "Happy birthday!!! 🎂🎉", "first time here, great show",
		"eat something, you have been live for 9 hours", "🍕", "❤️❤️❤️", "👩‍🍳💋 chef's kiss", "🏳️‍🌈", "👍🏽",
		"いつも配信ありがとう!", "맛있게 드세요", "祝你胃口好,主播加油", "بالعافية عليك", "בתיאבון, אלוף", "Приятного аппетита!",
		"left to right, ثم من اليمين, and back", "cafe\u0301 or café? same thing", "Z̷̛a̸l̵g̶o̷ eats too",
		"he said \"one more game\" \\ and 'lied'", "<script>alert('yum')</script>", "<b>bold</b> & <i>italic</i> &amp;",
		"@everyone dinner is served", "@here **free** _cookies_ ~~no~~ `code` ||spoiler||", "[click](https://example.com/menu)",
		"https://example.com/?q=tacos&n=2#top", "two\nlines", "tab\there", "a line separator\u2028in between", "   ", "0", "null",
		"{\"json\": true}", "%s %d %n", "'; DROP TABLE treats; --", "no message is too short", "k",
		"For the whole chat: thank you for being the calmest place on the internet, see you all tomorrow.",
	}
}
