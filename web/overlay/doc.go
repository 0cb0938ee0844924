// Package overlay decides which alert of an overlay is on screen, and when. A [Stage] is one overlay: it follows the
// journal, keeps the treats that wait, and tells every open page the same thing at the same time. The pages only draw.
// [Stages] holds all overlays of a relay, [Handler] serves them over HTTP.
//
// A treat is shown at most once. A page asks before it draws, and the stage saves the new position before it answers, so
// neither a reload nor a crash of a page or of relay repeats an alert. Alerts come one at a time, in the order of the journal.
package overlay
