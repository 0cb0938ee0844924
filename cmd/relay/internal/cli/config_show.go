package cli

import (
	"io"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
	"github.com/treatrelay/relay/cmd/relay/internal/config"
)

// configShowOptions are the options of relay config show.
type configShowOptions struct {
	*state.State
	json bool
}

func newConfigShowCmd(s *state.State) *cobra.Command {
	o := configShowOptions{State: s}
	cmd := &cobra.Command{
		Use: "show", Short: "Print the configuration with defaults filled in and secrets masked", Args: state.NoArgs,
		Long: `Print the configuration as YAML, as relay interprets it: defaults are filled in,
paths are absolute, and secrets are masked as ***. A text with a variable is
printed as it is written. Keys that have neither a value nor a default are
omitted. The path of the file is printed on standard error.`,
		Example: "  relay config show\n  relay config show --json | jq .sinks",
		RunE:    func(*cobra.Command, []string) error { return o.run() },
	}
	cmd.Flags().BoolVar(&o.json, "json", false, "print a JSON object")
	return cmd
}

func (o *configShowOptions) run() error {
	path, err := o.FindConfig()
	if err != nil {
		return err
	}
	shown, warnings, err := config.Effective(path, o.Getenv)
	if err != nil {
		return err
	}
	log := o.Logger()
	for _, w := range warnings {
		log.Warn().Msg(w.Error())
	}
	if path, err = filepath.Abs(path); err != nil {
		return err
	}
	if err := o.Say("# %s", path); err != nil {
		return err
	}
	if o.json {
		return o.PrintJSON(config.Plain(shown))
	}
	text, err := config.Text(shown)
	if err != nil {
		return err
	}
	_, err = io.WriteString(o.Out, text)
	return err
}
