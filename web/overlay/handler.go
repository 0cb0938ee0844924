package overlay

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/treatrelay/relay/internal/problem"
)

// The limits of the handler.
const (
	// heartbeat is how often a stream has a comment, so that a page notices a lost connection.
	heartbeat = 15 * time.Second
	// pagePatience is how long a page may take to read a message.
	pagePatience = 30 * time.Second
	// maxReport is the size of the largest report, in bytes.
	maxReport = 4 << 10
	// maxPageID is the longest id of a page.
	maxPageID = 64
)

// The names of problems.
const (
	problemUsage   = "usage"
	problemUnknown = "unknown-overlay"
	problemFile    = "unknown-file"
	problemTurn    = "not-showing"
	problemPages   = "too-many-pages"
	problemAccount = "other-accounts"
	problemFailed  = "failed"
)

// Handler serves the pages of overlays below /api/v1/overlays/NAME: stage (GET, Server-Sent Events), shown (POST) and
// files/FILE (GET). It does not check who asks. For a key of one account, the caller sets the query's account to it.
func Handler(stages *Stages) http.Handler {
	h := handler{stages}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/overlays/{name}/stage", h.stage)
	mux.HandleFunc("POST /api/v1/overlays/{name}/shown", h.shown)
	mux.HandleFunc("GET /api/v1/overlays/{name}/files/{file}", h.file)
	return mux
}

type handler struct{ stages *Stages }

// fail answers with a problem.
func fail(w http.ResponseWriter, err error) {
	status, name, detail, fix := http.StatusInternalServerError, problemFailed, err.Error(), ""
	switch {
	case errors.Is(err, ErrNoOverlay):
		status, name, fix = http.StatusNotFound, problemUnknown, "add it to overlays in relay.yaml, and reload"
	case errors.Is(err, fs.ErrNotExist):
		status, name, fix = http.StatusNotFound, problemFile, "put it in the overlay's folder"
		detail = "the overlay has no such file" // an error of the system names paths
	case errors.Is(err, ErrNotShowing):
		status, name = http.StatusConflict, problemTurn
	case errors.Is(err, ErrTooManyPages):
		status, name = http.StatusServiceUnavailable, problemPages
	case errors.Is(err, ErrOtherAccounts):
		status, name = http.StatusForbidden, problemAccount
	case errors.As(err, new(*usageError)):
		status, name = http.StatusBadRequest, problemUsage
	}
	problem.Send(w, status, problem.New(status, name, detail, fix))
}

// usageError means that a request is wrong.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

func (h handler) stage(w http.ResponseWriter, r *http.Request) {
	st, err := h.stages.Stage(r.PathValue("name"))
	if err != nil {
		fail(w, err)
		return
	}
	request, err := pageRequest(r)
	if err != nil {
		fail(w, err)
		return
	}
	page, err := st.Open(request)
	if err != nil {
		fail(w, err)
		return
	}
	defer page.Close()
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Accel-Buffering", "no") // nginx would keep messages back
	stream(w, r, page)
}

// pageRequest reads the query of a page.
func pageRequest(r *http.Request) (PageRequest, error) {
	q := r.URL.Query()
	p := PageRequest{ID: q.Get("page"), Account: q.Get("account"), Agent: r.UserAgent(), Preview: q.Get("preview") == "1"}
	if p.ID == "" || len(p.ID) > maxPageID {
		return p, &usageError{"page must be an id of 1 to 64 characters"}
	}
	if list := q.Get("widget"); list != "" {
		for w := range strings.SplitSeq(list, ",") {
			if known := Widget(w).Words(); !slices.Contains(known, w) {
				return p, &usageError{fmt.Sprintf("widget %.20q is unknown; use %s", w, strings.Join(known, ", "))}
			}
			p.Widgets = append(p.Widgets, Widget(w))
		}
	}
	return p, nil
}

// stream sends the messages of a page until it or the client goes away.
func stream(w http.ResponseWriter, r *http.Request, page *Page) {
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Time{}) // the limit for requests; a transport without deadlines has a reader in this process
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	var text bytes.Buffer
	text.WriteString(": relay\n\n")
	for {
		_ = control.SetWriteDeadline(time.Now().Add(pagePatience)) // as above
		if _, err := w.Write(text.Bytes()); err != nil {
			return
		}
		if err := control.Flush(); err != nil {
			return
		}
		text.Reset()
		select {
		case <-r.Context().Done():
			return
		case <-beat.C:
			text.WriteString(": relay\n\n")
		case m, ok := <-page.Messages():
			if !ok {
				return
			}
			fmt.Fprintf(&text, "event: %s\ndata: %s\n\n", m.Event, m.Data)
		}
	}
}

func (h handler) shown(w http.ResponseWriter, r *http.Request) {
	st, err := h.stages.Stage(r.PathValue("name"))
	if err != nil {
		fail(w, err)
		return
	}
	var report Report
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxReport))
	d.DisallowUnknownFields()
	if err := d.Decode(&report); err != nil {
		fail(w, &usageError{fmt.Sprintf("decode report: %v", err)})
		return
	}
	if err := st.Report(r.Context(), report); err != nil {
		fail(w, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (h handler) file(w http.ResponseWriter, r *http.Request) {
	st, err := h.stages.Stage(r.PathValue("name"))
	if err != nil {
		fail(w, err)
		return
	}
	data, contentType, err := st.File(r.PathValue("file"))
	if err != nil {
		fail(w, err)
		return
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Cache-Control", "no-cache")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; sandbox") // for one who opens a file as a page
	_, _ = w.Write(data)                                                     // the client may be gone
}
