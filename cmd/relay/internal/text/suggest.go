package text

import (
	"fmt"
	"strconv"
	"strings"
)

// Suggest returns a hint for an invalid word: the nearest valid one or, if none is near, a list.
func Suggest(word string, valid []string) string {
	const compared, listed = 5000, 50 // at most
	if len(valid) > compared {
		return fmt.Sprintf("known: %s and %d more", strings.Join(valid[:listed], ", "), len(valid)-listed)
	}
	nearest, least := "", 2+len(word)/4
	for _, v := range valid {
		if d := distance(word, v); d < least {
			nearest, least = v, d
		}
	}
	switch {
	case nearest != "":
		return "did you mean " + strconv.Quote(nearest) + "?"
	case len(valid) == 0:
		return "there is none to choose from"
	}
	if more := len(valid) - listed; more > 0 {
		return fmt.Sprintf("known: %s and %d more", strings.Join(valid[:listed], ", "), more)
	}
	return "known: " + strings.Join(valid, ", ")
}

// distance returns the number of letters to insert, delete, replace or swap between two words (optimal string alignment). For words of very
// different length it returns the maximum.
func distance(a, b string) int {
	if len(a) > 2*len(b)+8 {
		return len(a)
	}
	var before []int
	last := make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row := make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			replace := last[j]
			if a[i] != b[j] {
				replace++
			}
			row[j+1] = min(replace, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
