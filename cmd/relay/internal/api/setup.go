package api

import "net/http"

// The states of a setup.
const (
	SetupNeeded = "needed" // there is no relay.yaml
	SetupDone   = "done"
)

// Setup is how far a first configuration is, and what it can consist of. While it is needed, no other request works: the problem is
// [ProblemSetup].
type Setup struct {
	State     string          `json:"state" jsonschema:"enum=needed,enum=done"`
	Path      string          `json:"path,omitempty" jsonschema_description:"the file that will be written"`
	Providers []SetupProvider `json:"providers,omitempty"`
	Sinks     []SetupSink     `json:"sinks,omitempty"`
}

// SetupProvider is a provider, and what an account there needs.
type SetupProvider struct {
	Name        string `json:"name"`
	Title       string `json:"title"`
	Account     string `json:"account" jsonschema_description:"a suggested name for the account"`
	Treats      bool   `json:"treats" jsonschema_description:"it sends treats; from others relay has only tokens"`
	Client      bool   `json:"client" jsonschema_description:"it wants a client ID and a client secret"`
	SecretLess  bool   `json:"secret_optional,omitempty" jsonschema_description:"the client secret may be left out"`
	BaseURL     bool   `json:"base_url" jsonschema_description:"it wants the URL of the API"`
	RedirectURL string `json:"redirect_url,omitempty" jsonschema_description:"the URL to register with the application"`
	Page        string `json:"page,omitempty" jsonschema_description:"where applications are registered, or tokens are made"`
}

// SetupSink is a type of sink.
type SetupSink struct {
	Type string `json:"type"`
	URL  bool   `json:"url" jsonschema_description:"it wants a URL"`
}

// SetupRequest is the first configuration of relay.
type SetupRequest struct {
	Provider     string             `json:"provider"`
	Account      string             `json:"account"`
	ClientID     string             `json:"client_id,omitempty"`
	ClientSecret string             `json:"client_secret,omitempty"`
	BaseURL      string             `json:"base_url,omitempty"`
	Sinks        []SetupDestination `json:"sinks,omitempty"`
	Overlay      bool               `json:"overlay,omitempty" jsonschema_description:"with an overlay, whose name is main"`
	Check        bool               `json:"check,omitempty" jsonschema_description:"only check it, and answer with the file: nothing is written"`
}

// SetupDestination is one sink of a first configuration.
type SetupDestination struct {
	Type string `json:"type"`
	URL  string `json:"url,omitempty"`
}

// SetupResult is the file of a first configuration. No secret is in it.
type SetupResult struct {
	Path  string   `json:"path"`
	Text  string   `json:"text"`
	Files []string `json:"files" jsonschema_description:"the files beside it with the secrets, without their folder"`
}

// FieldError is what is wrong with a field of a request.
type FieldError struct {
	Field  string `json:"field" jsonschema_description:"such as client_id or sinks.discord.url; empty: the request as a whole"`
	Detail string `json:"detail"`
}

// String returns the fault in one line.
func (e FieldError) String() string {
	if e.Field == "" {
		return e.Detail
	}
	return e.Field + ": " + e.Detail
}

func setupOperations() []Operation {
	return []Operation{
		{Method: http.MethodGet, Path: "/setup", Summary: "Whether relay needs a first configuration, and what that can have", Answer: Setup{}},
		{
			Method: http.MethodPost, Path: "/setup", Summary: "Write the first relay.yaml; an existing one is never replaced",
			Request: SetupRequest{}, Answer: SetupResult{},
		},
	}
}
