import { type Command, Option } from 'commander'
import { UsageError } from '../exits.js'
import { milliseconds } from '../flags.js'
import { warn } from '../output.js'
import { fingerprintOf } from './resume.js'
import type { Source, SourceKind, SourceOptions } from './source.js'
import { SOURCES } from './sources/index.js'

/** The flags that say where sessions come from. */
export interface SourceFlags {
  readonly from?: string
  readonly at?: string
  readonly prefix?: string
  readonly sourceTable?: string
  readonly idleTtl?: number
}

const HEADING = 'Where the sessions are now:'

/** Gives a command the flags that say where sessions come from. */
export const withSourceFlags = (command: Command): Command => {
  for (const option of [
    new Option('--from <source>', 'the store that has them [NONSTICK_IMPORT_FROM]'),
    new Option('--at <place>', 'its URL, or the path of its folder or file [NONSTICK_IMPORT_AT]'),
    new Option('--prefix <text>', 'what its keys begin with, where that is not what is usual'),
    new Option('--source-table <name>', 'its table, perhaps with a schema, where that is not what is usual'),
    new Option(
      '--idle-ttl <duration>',
      'how long it lets a session live unused, such as 30m, where it does not write that down',
    ).argParser(milliseconds(1_000)),
  ])
    command.addOption(option.helpGroup(HEADING))
  return command.addHelpText('after', `\nThe sources:\n${sourceLines().join('\n')}`)
}

const sourceLines = (): readonly string[] =>
  Object.entries(SOURCES).map(([name, { summary, at }]) => `  ${name.padEnd(20)} ${summary} (--at: ${PLACES[at]})`)

const PLACES: Readonly<Record<SourceKind['at'], string>> = {
  redis: 'redis://user:password@host:6379/0',
  postgres: 'postgres://user:password@host:5432/database',
  couchdb: 'http://user:password@host:5984',
  memcached: 'host:11211',
  folder: 'a folder',
  file: 'a file',
}

/** A source that is meant, and how it is told from others. */
export interface Meant {
  readonly kind: SourceKind
  readonly fingerprint: string
  open(runtime: SourceOptions['runtime']): Promise<Source>
}

/** @throws UsageError where it is not said which source is meant, or there is none of this name */
export const sourceMeant = (command: string, flags: SourceFlags): Meant => {
  const name = flags.from ?? process.env['NONSTICK_IMPORT_FROM']
  const at = flags.at ?? process.env['NONSTICK_IMPORT_AT']
  const names = Object.keys(SOURCES).join(', ')
  if (name === undefined || name === '') throw new UsageError(`Expected --from to be one of ${names}, got nothing`)
  const kind = Object.hasOwn(SOURCES, name) ? SOURCES[name] : undefined
  if (kind === undefined) throw new UsageError(`Expected --from to be one of ${names}`)
  if (at === undefined || at === '') throw new UsageError(`Expected --at to be given: ${PLACES[kind.at]}`)
  if (flags.at !== undefined && /:\/\/[^/]*:[^/]*@/.test(flags.at))
    warn(command, 'the password in --at can be seen by everybody on this machine; NONSTICK_IMPORT_AT cannot')
  const { prefix, sourceTable: table, idleTtl: idleTtlMs } = flags
  return {
    kind,
    fingerprint: fingerprintOf([name, at, prefix, table]),
    open: (runtime) => kind.open({ at, prefix, table, idleTtlMs, runtime }),
  }
}
