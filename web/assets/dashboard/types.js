// The objects of relay's API that the dashboard reads. docs/openapi.json describes them in full.

/**
 * @typedef {'owner'|'moderator'} Role
 *
 * @typedef {{part: string, reason: string, fix?: string}} Trouble
 *
 * @typedef {object} Status
 * @property {'ready'|'degraded'|'not_ready'|'setup'} state
 * @property {Trouble[]} not_ready
 * @property {Trouble[]} degraded
 * @property {string} time
 * @property {string} version
 * @property {string} started
 * @property {AccountStatus[]} accounts
 * @property {JournalStatus} journal
 * @property {SinkStatus[]} sinks
 * @property {{sink: string, dead_letters: number}[]} [removed_sinks]
 *
 * @typedef {object} AccountStatus
 * @property {string} account
 * @property {string} provider
 * @property {'connected'|'connecting'|'reconnecting'|'login_needed'|'none'} connection
 * @property {string} [since]
 * @property {string} [transport]
 * @property {string} [reason]
 * @property {number} reconnects
 * @property {{time: string, origin: string}} [last_treat]
 * @property {string} token
 * @property {string} [token_expiry]
 * @property {string} [fix]
 *
 * @typedef {object} JournalStatus
 * @property {'ok'|'failing'|'away'} state
 * @property {string} server
 * @property {number} [events]
 * @property {number} [bytes]
 * @property {string} [oldest]
 * @property {number} events_last_minute
 * @property {number} waiting
 *
 * @typedef {object} SinkStatus
 * @property {string} sink
 * @property {string} type
 * @property {'ok'|'down'|'disabled'|'failing'} state
 * @property {string} [since]
 * @property {string} [reason]
 * @property {string} [next_probe]
 * @property {number} [pending]
 * @property {number} in_flight
 * @property {number} retries
 * @property {number} lag_seconds
 * @property {number} delivered
 * @property {number} failed_attempts
 * @property {string} [last_delivery]
 * @property {number} [latency_p50_seconds]
 * @property {number} [latency_p99_seconds]
 * @property {number} [dead_letters]
 *
 * @typedef {object} Series
 * @property {number} step_seconds
 * @property {string} start
 * @property {number} points
 * @property {Record<string, Record<'delivered'|'failed'|'waiting'|'p50_ms'|'p99_ms', (number|null)[]>>} sinks
 * @property {Record<string, {treats: (number|null)[]}>} accounts
 *
 * @typedef {object} CloudEvent
 * @property {string} id
 * @property {string} type
 * @property {string} time
 * @property {'live'|'backfill'|'test'|'replay'} origin
 * @property {{account: string, provider: string, sender?: string|null, title?: string|null, message?: string|null, anonymous?: boolean}} data
 *
 * @typedef {object} HistoryItem
 * @property {number} number
 * @property {string} time
 * @property {string} journaled
 * @property {string} id
 * @property {string} account
 * @property {string} origin
 * @property {string} type
 * @property {CloudEvent} event
 *
 * @typedef {object} TraceStep
 * @property {string} time
 * @property {'received'|'journaled'|'attempt'|'dead_letter'|'resent'} step
 * @property {string} [sink]
 * @property {boolean} [replay]
 * @property {CloudEvent} [event]
 * @property {string} [endpoint]
 * @property {number} [status]
 * @property {number} [latency]  nanoseconds
 * @property {string} [answer]
 * @property {string} [error]
 * @property {number} [batch]
 * @property {number} [dead_letter]
 * @property {number} [attempts]
 * @property {string} [reason]
 *
 * @typedef {{id: string, number?: number, account?: string, origin?: string, type?: string, steps: TraceStep[]}} Trace
 *
 * @typedef {object} DeadLetter
 * @property {number} number
 * @property {string} sink
 * @property {string} reason
 * @property {number} attempts
 * @property {string} time
 * @property {string} id
 * @property {string} [account]
 * @property {CloudEvent} [event]
 *
 * @typedef {object} Attempt
 * @property {number} number
 * @property {string} time
 * @property {string} sink
 * @property {string} id
 * @property {string} account
 * @property {number} attempt
 * @property {'ok'|'failed'} outcome
 * @property {number} [status]
 * @property {string} [reason]
 * @property {number} [latency_ms]
 *
 * @typedef {object} Digest
 * @property {string} id
 * @property {number} number
 * @property {string} time
 * @property {string} sink
 * @property {string} account
 * @property {number} count
 * @property {string} first
 * @property {string} last
 * @property {'waiting'|'delivered'|'dead_letter'|'given_up'} state
 * @property {number} attempts
 * @property {string} [latest_attempt]
 * @property {string} [reason]
 * @property {number} [dead_letter]
 *
 * @typedef {object} Alert
 * @property {number} number
 * @property {string} id
 * @property {string} sender
 * @property {string} title
 * @property {string} message
 * @property {string} picture
 * @property {string} time
 * @property {number} more
 *
 * @typedef {{x: number, y: number, width: number, height: number, align: string}} Layout  in percent of the page
 *
 * @typedef {object} Overlay
 * @property {string} name
 * @property {{since: string, agent: string, visible: boolean, preview?: boolean}[]} pages
 * @property {Alert|null} showing
 * @property {{alert: Alert, time: string}|null} last_shown
 * @property {number} waiting
 * @property {number} skipped_old
 * @property {boolean} [waiting_more]
 * @property {{today: number, stream: number, month: number}} [totals]
 * @property {Layout} [layout]
 * @property {boolean} paused
 * @property {boolean} muted
 * @property {boolean} stopped
 * @property {string} url
 * @property {{id: string, account: string, created: string}[]} [keys]
 *
 * @typedef {{stopped: boolean, overlays: Overlay[]}} Overlays
 *
 * @typedef {object} SetupProvider
 * @property {string} name
 * @property {string} title
 * @property {string} account  a suggested name
 * @property {boolean} treats
 * @property {boolean} client
 * @property {boolean} [secret_optional]
 * @property {boolean} base_url
 * @property {string} [redirect_url]
 * @property {string} [page]
 *
 * @typedef {{state: 'needed'|'done', path: string, providers: SetupProvider[], sinks: {type: string, url: boolean}[]}} Setup
 * @typedef {{path: string, text: string, files: string[]}} SetupResult
 *
 * @typedef {{file: string, line?: number, column?: number, path?: string, message: string}} Warning
 * @typedef {{path: string, text: string, changed: boolean, restart?: string[], warnings: Warning[], faults: Warning[], problem?: string}} ConfigView
 */

export {};
