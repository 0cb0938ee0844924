package sinktest

import "fmt"

// FakeForum is a forum channel: it takes messages in posts only.
type FakeForum struct {
	Posts []FakePost // the ids are 701 and so on
}

// FakePost is one post of a forum.
type FakePost struct {
	Name   string
	Embeds int
	Ended  string // the refusal of what comes, if it takes no more
}

// FakeRefusal is an answer that refuses a message.
type FakeRefusal struct {
	Status int
	Body   string
}

// Take returns the id of the channel that has the message.
func (f *FakeForum) Take(id, name string, embeds int) (string, *FakeRefusal) {
	refuse := func(status, code int, message string) (string, *FakeRefusal) {
		return "", &FakeRefusal{status, fmt.Sprintf(`{"message":%q,"code":%d}`, message, code)}
	}
	switch {
	case id != "" && name != "":
		return refuse(400, 220002, "Webhooks posted to forum channels cannot have both a thread_name and thread_id")
	case f == nil && name != "":
		return refuse(400, 220003, "Webhooks can only create threads in forum channels")
	case f == nil:
		return "600", nil
	case id == "" && name == "":
		return refuse(400, 220001, "Webhooks posted to forum channels must have a thread_name or thread_id")
	case name != "":
		f.Posts = append(f.Posts, FakePost{Name: name, Embeds: embeds})
		return fmt.Sprint(700 + len(f.Posts)), nil
	}
	var n int
	if _, err := fmt.Sscan(id, &n); err != nil || n <= 700 || n > 700+len(f.Posts) {
		return refuse(404, 10003, "Unknown Channel")
	}
	post := &f.Posts[n-701]
	switch post.Ended {
	case "archived":
		return refuse(400, 50083, "Thread is archived")
	case "locked":
		return refuse(403, 160005, "Thread is locked")
	case "deleted":
		return refuse(404, 10003, "Unknown Channel")
	}
	post.Embeds += embeds
	return id, nil
}
