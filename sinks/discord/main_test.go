package discord_test

import (
	"os"
	"testing"

	"github.com/treatrelay/relay/sinks/internal/sinktest"
)

func TestMain(m *testing.M) { os.Exit(sinktest.Main(m)) }
