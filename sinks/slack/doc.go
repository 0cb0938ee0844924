// Package slack is the sink that posts every event to an incoming webhook of a Slack channel, up to ten in one message.
//
// [Config] is its section of the configuration, with yaml tags; [Config.Open] creates the sink. The package knows
// Slack's limits and error codes. Package chat has the posting that chat services share, and package chattext makes a
// viewer's text safe.
package slack
