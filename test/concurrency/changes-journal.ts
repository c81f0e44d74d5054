import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { RowJournal, RowState } from './row-journal.js'

/**
 * Every state that the sessions in a Redis went through, read off its log of changes: it is written before anybody is
 * answered, and outlives the process. The same as a row's, for the same judge.
 *
 * @param folder of the server's log, of which nothing is rewritten
 * @param prefix of the sessions' keys
 */
export const changesJournal = (folder: string, prefix: string): RowJournal => {
  let taken = 0
  return {
    take: async () => {
      const states = changesIn(folder).flatMap((words) => stateOf(words, prefix))
      const rest = states.slice(taken)
      taken = states.length
      return rest
    },
  }
}

/** The commands of the log, in order, a Lua function's among them. */
const changesIn = (folder: string): readonly (readonly Buffer[])[] =>
  readdirSync(folder)
    .flatMap((name) => {
      const [, number] = /\.(\d+)\.incr\.aof$/.exec(name) ?? []
      return number === undefined ? [] : [{ name, number: Number(number) }]
    })
    .sort((one, other) => one.number - other.number)
    .flatMap(({ name }) => commandsIn(readFileSync(join(folder, name))))

const commandsIn = (bytes: Buffer): Buffer[][] => {
  const commands: Buffer[][] = []
  let at = 0
  /** The number behind the mark, and on to the next line; NaN where the log ends in the midst of one. */
  const numberBehind = (mark: string): number => {
    const end = bytes.indexOf('\r\n', at)
    if (end < 0 || bytes.toString('latin1', at, at + 1) !== mark) return Number.NaN
    const number = Number(bytes.toString('latin1', at + 1, end))
    at = end + 2
    return number
  }
  while (at < bytes.length) {
    const count = numberBehind('*')
    const words: Buffer[] = []
    while (words.length < count) {
      const length = numberBehind('$')
      if (Number.isNaN(length) || at + length + 2 > bytes.length) return commands
      words.push(bytes.subarray(at, at + length))
      at += length + 2
    }
    if (Number.isNaN(count)) return commands
    commands.push(words)
  }
  return commands
}

/** What only moves the times of a session is no new state. */
const stateOf = (words: readonly Buffer[], prefix: string): readonly RowState[] => {
  const [command, key, ...pairs] = words.map((word) => word.toString('latin1'))
  if (command?.toUpperCase() !== 'HSET' || key?.startsWith(prefix) !== true || pairs[0] !== 'f') return []
  const fields = new Map(
    pairs.flatMap((name, place) => (place % 2 === 0 ? [[name, pairs[place + 1] ?? '']] : [])) as [string, string][],
  )
  return [
    {
      idHash: Buffer.from(key.slice(key.lastIndexOf(':') + 1), 'base64url').toString('hex'),
      lineage: fields.get('l') ?? '',
      version: Number(fields.get('v') ?? 0),
      content: createHash('sha256')
        .update(JSON.stringify([fields.get('w'), fields.get('d')]), 'latin1')
        .digest('hex'),
      isTombstone: fields.get('f') === 't1',
    },
  ]
}
