// Package body renders the body of a webhook request from the operator's template (text/template) over the decoded
// event. It encodes values for the content type, so that they stay values whatever a viewer has written.
package body
