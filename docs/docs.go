// Package docs embeds the part of the documentation that relay prints.
package docs

import _ "embed"

// ConfigSchema is relay.schema.json, the JSON Schema of a configuration file.
//
//go:embed relay.schema.json
var ConfigSchema string

// ConfigSchemaURL is where editors find [ConfigSchema].
const ConfigSchemaURL = "https://raw.githubusercontent.com/treatrelay/relay/main/docs/relay.schema.json"
