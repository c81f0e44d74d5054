import type { LiveEnvelope } from '../../src/session/envelope.js'
import { lineageNumber, ringMask, writesIn } from './data.js'
import type { Answer, Command, Task } from './task.js'
import type { World } from './world.js'

/* Steps and worlds in words, for a counterexample that can be read. */

const names = (mask: number): string =>
  `{${[0, 1, 2, 3, 4, 5, 6, 7]
    .filter((bit) => (mask >> bit) & 1)
    .map((bit) => (bit === 7 ? 'twice' : `w${bit}`))
    .join(' ')}}`

const lineage = (name: string): string => (lineageNumber(name) === 0 ? '-' : `L${lineageNumber(name)}`)

const envelope = (live: LiveEnvelope): string =>
  `${live.frozen ? 'frozen ' : ''}${lineage(live.lineage)}.${live.version} d=${lineage(live.durableLineage)}.${live.durableVersion} ${names(writesIn(live))}`

export const told = (command: Command): string => {
  switch (command.op) {
    case 'cas':
    case 'set':
    case 'add':
      return `${command.op} ${envelope(command.value)}`
    case 'insert':
    case 'put new':
      return `${command.op} ${lineage(command.session.lineage)}.${command.session.version} ${names(writesIn(command.session))}`
    case 'update': {
      const { guard, session } = command
      return `update to ${lineage(session.lineage)}.${session.version} ${names(writesIn(session))} where ${lineage(guard.lineage)}<${guard.belowVersion} or ${lineage(guard.parentLineage)}=${guard.parentVersion}`
    }
    case 'destroy':
      return command.only === undefined
        ? 'destroy row'
        : `destroy row if ${lineage(command.only.lineage)}.${command.only.version}`
    default:
      return command.op
  }
}

export const toldAnswer = (answer: Answer): string => {
  if (typeof answer === 'string') return answer
  if ('outcome' in answer) return answer.outcome
  if (answer.state === 'live' && 'envelope' in answer) return envelope(answer.envelope)
  return answer.state
}

export const toldEnd = (task: Task): string => {
  if (task.at !== 'end') return ''
  const { ending } = task
  const detail =
    'status' in ending
      ? ` ${ending.status}`
      : 'writes' in ending && ending.writes !== 'none'
        ? ` ${names(ending.writes)}`
        : ''
  const which = ending.did === 'write' ? ` w${ending.write}` : ''
  return `; ${ending.did}${which}${detail}${task.owes.map((op) => `, owes: ${op.do}`).join('')}`
}

export const picture = ({ cache, row, past }: World): string => {
  const { entry } = cache
  const held = entry === undefined ? 'nothing' : entry.kind === 'live' ? envelope(entry) : entry.kind
  const kept =
    row.state === 'live'
      ? `${lineage(row.session.lineage)}.${row.session.version} ${names(writesIn(row.session))} ring ${names(ringMask(row.session.writeIds))}`
      : row.state
  return `cache ${cache.isDown ? '(down) ' : ''}${held}; row ${kept}; acked ${names(past.acked)} durable ${names(past.durable)}`
}
