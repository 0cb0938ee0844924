// Package body makes the body of a webhook's request from an operator's template (text/template) over the decoded event. Values are encoded as the
// content type wants it, so that they stay values whatever a viewer has written.
package body
