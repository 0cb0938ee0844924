// Package slack is the sink that posts every event to an incoming webhook of a Slack channel, up to ten in one message.
//
// [Config] is its section of the configuration, with yaml tags; [Config.Open] makes the sink. It knows Slack's limits and the words of its refusals; how
// a chat is posted to is in package chat, and what makes a viewer's text harmless in package chattext.
package slack
