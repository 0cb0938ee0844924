// Package discord is the sink that posts every event to a webhook of a Discord channel. A treat is an embed, and a
// message has up to ten.
//
// [Config] is its section of the configuration, with yaml tags; [Config.Open] creates the sink. The package knows
// Discord's limits, rate limits and error codes. Package chat has the posting that chat services share, and package
// chattext makes a viewer's text safe.
package discord
