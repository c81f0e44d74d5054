import type { RowState } from '../concurrency/row-journal.js'
import { type Operation, shownOutcome } from '../simulation/history.js'
import type { RunRecord } from './record.js'

/** All that is known of one session, in order, to be read by a person. A sight shows only what it has more or less. */
export const storyOf = (record: RunRecord, name: string, rows: readonly RowState[]): string => {
  const session = record.sessions.get(name)
  if (session === undefined) return ''
  const steps: { at: number; text: string }[] = []
  let last: ReadonlySet<string> = new Set()
  const seen = (operation: Operation): string => {
    const { sight } = operation
    if (sight === undefined) return ''
    const more = [...sight.tokens].filter((token) => !last.has(token))
    const less = [...last].filter((token) => !sight.tokens.has(token))
    last = sight.tokens
    return ` saw ${sight.tokens.size}${shown('+', more)}${shown('-', less)}`
  }
  const byEnd = [...session.operations].sort((a, b) => (a.completed ?? a.invoked) - (b.completed ?? b.invoked))
  for (const operation of byEnd) {
    const { order, kind, client, token, invoked, completed, cacheFailures, backendFailures, pausedMs } = operation
    const own = token === undefined ? '' : ` ${short(token)}`
    const met = `${cacheFailures > 0 ? ', cache troubled' : ''}${backendFailures > 0 ? ', backend troubled' : ''}${pausedMs > 0 ? `, stalled ${pausedMs.toFixed(0)} ms` : ''}`
    steps.push({ at: invoked, text: `#${order} ${client} ${kind}${own} …` })
    if (completed === undefined) continue
    const outcome = shownOutcome({ ...operation, sight: undefined })
    steps.push({ at: completed, text: `#${order} ${client} ${kind}${own}: ${outcome}${seen(operation)}${met}` })
  }
  for (const disturbance of session.disturbances)
    steps.push({
      at: disturbance.at,
      text:
        disturbance.what === 'loss'
          ? `— ${disturbance.why}${disturbance.costs ? ', may cost' : ''}`
          : disturbance.what === 'dropped'
            ? '— the entry, or a lease, was removed'
            : '— somebody cannot reach the cache',
    })
  steps.sort((a, b) => a.at - b.at)
  const hash = Buffer.from(session.key.slice(session.key.indexOf(':') + 1), 'base64url').toString('hex')
  const lives = rows
    .filter(({ idHash }) => idHash === hash)
    .map(({ lineage, version, isTombstone }) => (isTombstone ? 'tombstone' : `${lineage.slice(0, 4)} v${version}`))
  return [
    `${name}, kept by ${session.server}`,
    ...steps.map(({ at, text }) => `${at.toFixed(1).padStart(9)} ms  ${text}`),
    `the row: ${lives.join(', ')}`,
    '',
  ].join('\n')
}

const short = (token: string): string => token.slice(token.indexOf('.') + 1)

const shown = (sign: string, tokens: readonly string[]): string =>
  tokens.length === 0 ? '' : ` ${sign}{${tokens.slice(0, 8).map(short).join(' ')}${tokens.length > 8 ? ' …' : ''}}`
