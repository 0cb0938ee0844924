package cli

import (
	"io"

	"github.com/spf13/cobra"

	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
	relaydocs "github.com/treatrelay/relay/docs"
)

func newConfigSchemaCmd(s *state.State) *cobra.Command {
	return &cobra.Command{
		Use: "schema", Short: "Print the JSON Schema of relay.yaml, for editors", Args: state.NoArgs,
		Long: `Print the JSON Schema (draft 2020-12) of relay.yaml. Editors with a YAML language
server complete and check a file that begins with this line, which "relay init"
writes:
  # yaml-language-server: $schema=` + relaydocs.ConfigSchemaURL + `
You need this command to use a local copy of the schema: save the output, and
write its path in place of the URL.`,
		Example: "  relay config schema > relay.schema.json",
		RunE: func(*cobra.Command, []string) error {
			_, err := io.WriteString(s.Out, relaydocs.ConfigSchema)
			return err
		},
	}
}
