package config

// Alerts is the section alerts: the sink that is told when another is in trouble. None if empty.
type Alerts struct {
	Sink string `yaml:"sink"`
}
