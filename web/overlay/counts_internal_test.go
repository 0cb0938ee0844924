package overlay

import (
	"errors"
	"reflect"
	"strconv"
	"testing"
	"time"
)

// After the clock was set back to yesterday, the counter reads yesterday's treats again.
func TestCountsAfterTheClockWasSetBack(t *testing.T) {
	midnight := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	var c counts
	var ended error
	c.stop = func(why error) { ended = why }
	c.roll(midnight.Add(time.Minute))
	c.add(Event{Time: midnight}, midnight)
	if c.roll(midnight.Add(time.Hour)); c.Today != 1 || ended != nil {
		t.Errorf("on the same day: %+v, %v", c.Totals, ended)
	}
	c.readTo = 7
	c.roll(midnight.Add(-time.Minute))
	if !errors.Is(ended, errRestart) || c.readTo != 0 || c.reading != 1 || c.Totals != (Totals{}) || !c.day.Equal(midnight.AddDate(0, 0, -1)) {
		t.Errorf("the day before: %+v, %v", c, ended)
	}
}

// A stage reads enough ahead to notice that more treats wait than may.
func TestMergeAfterIsWithinReach(t *testing.T) {
	field, _ := reflect.TypeFor[Timing]().FieldByName("MergeAfter")
	if got := field.Tag.Get("max"); got != strconv.Itoa(readAhead-1) {
		t.Errorf("merge_after may be at most %s, but a stage reads %d ahead", got, readAhead)
	}
}
