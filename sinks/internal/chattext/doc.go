// Package chattext turns events into texts that are safe to show in a chat, whatever a viewer has written: [Clean] makes a text harmless, an
// escape shows it as it is, and [Fit] keeps it within a limit. A [Template] is an operator's own text over a treat.
package chattext
