// Package discord is the sink that posts every event to a webhook of a Discord channel: a treat is an embed, up to ten make one message.
//
// [Config] is its section of the configuration, with yaml tags; [Config.Open] makes the sink. It knows Discord's limits and rate limits and what its
// refusals mean; how a chat is posted to is in package chat, and what makes a viewer's text harmless in package chattext.
package discord
