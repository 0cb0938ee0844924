package problem_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/treatrelay/relay/internal/problem"
)

func TestSend(t *testing.T) {
	for _, c := range []struct {
		fix, want string
	}{
		{"wait", `{"type":"urn:relay:problem:busy","title":"Conflict","status":409,"detail":"it is in use","fix":"wait"}`},
		{"", `{"type":"urn:relay:problem:busy","title":"Conflict","status":409,"detail":"it is in use"}`},
	} {
		p := problem.New(http.StatusConflict, "busy", "it is in use", c.fix)
		if !p.Named("busy") || p.Named("bus") {
			t.Errorf("the type is %s", p.Type)
		}
		answer := httptest.NewRecorder()
		problem.Send(answer, p.Status, p)
		if got := answer.Body.String(); got != c.want+"\n" || answer.Code != http.StatusConflict || answer.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("%d %v %s", answer.Code, answer.Header(), got)
		}
	}
}
