// Package chattext turns events into texts that are safe to show in a chat, whatever a viewer has written. [displaytext.Clean]
// makes a text safe, an escape function disables markup, and [Fit] keeps a text within a limit. A [Template] is an
// operator's own text for a treat.
package chattext
