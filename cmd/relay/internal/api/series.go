package api

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"net/http"
	"strconv"
	"time"
)

// Series is the last hour of a running relay, in steps. It begins with the start of relay.
type Series struct {
	StepSeconds int                      `json:"step_seconds"`
	Start       time.Time                `json:"start" jsonschema_description:"of the first step"`
	Points      int                      `json:"points" jsonschema_description:"steps, and values of each list"`
	Sinks       map[string]SinkSeries    `json:"sinks"`
	Accounts    map[string]AccountSeries `json:"accounts"`
}

// SinkSeries has a value of a sink for each step.
type SinkSeries struct {
	Delivered Values `json:"delivered" jsonschema_description:"events accepted in the step"`
	Failed    Values `json:"failed" jsonschema_description:"attempts that failed in the step"`
	Waiting   Values `json:"waiting" jsonschema_description:"events not accepted yet, at the end of the step"`
	P50       Values `json:"p50_ms" jsonschema_description:"from on disk to accepted, of the deliveries in the step"`
	P99       Values `json:"p99_ms"`
}

// AccountSeries has a value of an account for each step.
type AccountSeries struct {
	Treats Values `json:"treats" jsonschema_description:"treats journaled in the step, backfilled ones included"`
}

// Values are numbers. One that is unknown is NaN, and null in JSON.
type Values []float64

// MarshalJSON implements [json.Marshaler].
func (v Values) MarshalJSON() ([]byte, error) {
	b := make([]byte, 0, 2+4*len(v))
	b = append(b, '[')
	for i, n := range v {
		if i > 0 {
			b = append(b, ',')
		}
		if math.IsNaN(n) || math.IsInf(n, 0) {
			b = append(b, "null"...)
			continue
		}
		b = strconv.AppendFloat(b, n, 'f', -1, 64)
	}
	return append(b, ']'), nil
}

// UnmarshalJSON implements [json.Unmarshaler].
func (v *Values) UnmarshalJSON(data []byte) error {
	if bytes.Equal(data, []byte("null")) {
		return nil
	}
	var all []*float64
	if err := json.Unmarshal(data, &all); err != nil {
		return err
	}
	*v = make(Values, len(all))
	for i, n := range all {
		(*v)[i] = math.NaN()
		if n != nil {
			(*v)[i] = *n
		}
	}
	return nil
}

// Series returns the last hour of the running relay.
func (c *Client) Series(ctx context.Context) (Series, error) {
	return ask[Series](ctx, c, http.MethodGet, "series", nil, nil)
}
